"""Make up a reference, and variants of it in the samples of a cohort, for make-cohort.sh.

    python make-variants.py FOLDER --samples 4 --chromosomes chr1,chr2,chr3 --length 40000 --seed 1

writes FOLDER/reference.fa, FOLDER/samples.txt and FOLDER/truth.vcf, which has the phased genotypes
of all samples. The same arguments make the same files, on every machine.
"""

import argparse
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BASES = "ACGT"
LINE = 60  # bases per line of the FASTA
MARGIN = 500  # bases at each end of a chromosome without variants: few reads reach there
GAP = (150, 450)  # bases between variants: closer ones can be written in several ways
INDEL_SHARE = 0.2
MAX_INDEL = 5  # bases
# Weights of a sample's genotypes: about half of the samples have a variant.
GENOTYPES = {"0|0": 50, "0|1": 18, "1|0": 18, "1|1": 14}

MIN_LENGTH = 2 * MARGIN + GAP[1]


@dataclass(frozen=True)
class Variant:
    """A site where samples differ from the reference."""

    chromosome: str
    position: int  # the first base is 1
    ref: str
    alt: str
    genotypes: tuple[str, ...]


def main() -> int:
    parser = argparse.ArgumentParser(description="Make up a reference and variants of it.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--samples", type=int, required=True)
    parser.add_argument("--chromosomes", required=True, help="names, separated by commas")
    parser.add_argument("--length", type=int, required=True, help="bases of each chromosome")
    parser.add_argument("--seed", type=int, required=True)
    args = parser.parse_args()
    if args.samples < 1:
        sys.exit(f"too few samples: {args.samples}")
    if args.length < MIN_LENGTH:
        sys.exit(f"LENGTH is too small: {args.length}: at least {MIN_LENGTH} bases are needed")

    rng = random.Random(args.seed)
    chromosomes = {
        name: "".join(rng.choices(BASES, k=args.length)) for name in args.chromosomes.split(",")
    }
    samples = [f"Sample{number}" for number in range(1, args.samples + 1)]
    variants = [
        variant
        for name, sequence in chromosomes.items()
        for variant in vary(name, sequence, len(samples), rng)
    ]
    (args.folder / "reference.fa").write_text("".join(fasta(chromosomes)))
    (args.folder / "samples.txt").write_text("".join(f"{sample}\n" for sample in samples))
    (args.folder / "truth.vcf").write_text("".join(vcf(chromosomes, samples, variants)))
    return 0


def vary(name: str, sequence: str, samples: int, rng: random.Random) -> Iterator[Variant]:
    """Yield variants along a chromosome. At least one sample has each variant."""
    position = MARGIN
    while (position := position + rng.randint(*GAP)) < len(sequence) - MARGIN:
        ref, alt = alleles(sequence, position, rng)
        genotypes = ["0|0"] * samples
        while not any("1" in genotype for genotype in genotypes):
            genotypes = rng.choices(list(GENOTYPES), list(GENOTYPES.values()), k=samples)
        yield Variant(name, position, ref, alt, tuple(genotypes))


def alleles(sequence: str, position: int, rng: random.Random) -> tuple[str, str]:
    """Return old and new bases of a random SNP, insertion or deletion at a position."""
    base = sequence[position - 1]
    if rng.random() >= INDEL_SHARE:
        return base, rng.choice(BASES.replace(base, ""))
    length = rng.randint(1, MAX_INDEL)
    if rng.random() < 0.5:
        return base, base + "".join(rng.choices(BASES, k=length))
    return sequence[position - 1 : position + length], base


def fasta(chromosomes: dict[str, str]) -> Iterator[str]:
    for name, sequence in chromosomes.items():
        yield f">{name}\n"
        for start in range(0, len(sequence), LINE):
            yield f"{sequence[start : start + LINE]}\n"


def vcf(chromosomes: dict[str, str], samples: list[str], variants: list[Variant]) -> Iterator[str]:
    yield "##fileformat=VCFv4.2\n"
    for name, sequence in chromosomes.items():
        yield f"##contig=<ID={name},length={len(sequence)}>\n"
    yield '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n'
    columns = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *samples]
    yield "\t".join(columns) + "\n"
    for variant in variants:
        site = (variant.chromosome, str(variant.position), ".", variant.ref, variant.alt)
        yield "\t".join((*site, ".", ".", ".", "GT", *variant.genotypes)) + "\n"


if __name__ == "__main__":
    sys.exit(main())
