#!/usr/bin/env bash
#
# The task of the third step: merges the calls of all samples of a cohort, and counts them.
#
#     bash merge.sh NAME CHROMS
#
# Reads the names in COHORT_SAMPLES and their gVCFs in GVCFS; writes NAME.vcf.gz, its index and
# NAME.counts.tsv in MERGED, and prints how many sites there are. Genotypes stay as they were called for
# each sample: this is not joint genotyping. It was tested with gVCFs from bcftools, but not from GATK.
# See job-conf.sh and functions.sh.

source "$(dirname -- "${BASH_SOURCE[0]}")/functions.sh"

usage='Usage: bash merge.sh NAME CHROM[,CHROM...]'

# Checks that a gVCF is complete, and of this sample and chromosome. Otherwise calls would be missing
# or wrong.
check() {
    local sample=$1 chromosome=$2 gvcf=$3 address=$4 found
    local again="create it again with HaplotypeCaller $sample $chromosome"
    check_end "$gvcf" "$address"
    # For damage in the middle, bcftools may only print a warning.
    gzip -t -- "$gvcf" &
    wait "$!" || fail "damaged: $address: $again"
    found=$(bcftools query -l "$gvcf" | paste -sd, -) || fail "reading $address failed: see above"
    [[ $found == "$sample" ]] || fail "$address is of '$found', not of '$sample': $again"
    bcftools query -f '%CHROM\n' "$gvcf" | uniq >"$work/found" &
    finish "reading $address"
    found=$(paste -sd, - <"$work/found")
    [[ $found == "$chromosome" ]] ||
        fail "$address has records of '$found', not of '$chromosome' only: $again"
}

# Merges the samples' gVCFs of a chromosome.
merge() {
    local chromosome=$1 sample gvcf gvcfs=() list=$work/$1.list
    for sample in "${samples[@]}"; do
        gvcf=$GVCFS/$sample/$sample.$chromosome.g.vcf.gz
        fetch "$gvcf" "HaplotypeCaller $sample $chromosome, of the second step, makes it"
        check "$sample" "$chromosome" "$fetched" "$gvcf"
        gvcfs+=("$fetched")
        fetch "$gvcf.tbi" "make this index with bcftools index -t"
    done
    printf '%s\n' "${gvcfs[@]}" >"$list"
    bcftools merge --no-version --gvcf "$reference" -l "$list" -Ou |
        bcftools view --no-version -a -i "QUAL>=$MIN_QUALITY" -Ou |
        bcftools view --no-version -i 'GT="alt"' -Ou |
        bcftools norm --no-version -f "$reference" -Ob -o "$work/$chromosome.bcf" &
    finish "merging $chromosome"
}

# Counts the sites of each sample that differ from the reference.
count() {
    local vcf=$1 sample
    printf 'sample\tvariants\thet\thom\tsnps\tindels\n'
    for sample in "${samples[@]}"; do
        bcftools view --no-version -a -s "$sample" "$vcf" -Ou |
            bcftools query -i 'GT="alt"' -f '[%GT]\t%TYPE\n' |
            awk -v sample="$sample" -v OFS='\t' '
                { split($1, allele, "[/|]"); if (allele[1] == allele[2]) hom++; else het++ }
                $2 ~ /INDEL/ { indels++; next }
                { snps++ }
                END { print sample, NR, het + 0, hom + 0, snps + 0, indels + 0 }
            '
    done
}

main() {
    (($# == 2)) || misused "a name for the result and the chromosomes are needed"
    local name=$1 chromosome parts_of_it=() sites
    [[ $name =~ $NAME ]] || misused "not a name for the result: '$name'"
    split_chromosomes "$2"
    need bcftools
    start_work
    fetch_reference
    check_chromosomes
    read_samples
    ((${#samples[@]} > 1)) || fail "fewer than two samples in $COHORT_SAMPLES: nothing to merge"
    for chromosome in "${chromosomes[@]}"; do
        merge "$chromosome"
        parts_of_it+=("$work/$chromosome.bcf")
    done
    bcftools concat --no-version "${parts_of_it[@]}" -Oz -o "$work/$name.vcf.gz" &
    finish 'joining the chromosomes'
    bcftools index -t "$work/$name.vcf.gz" &
    finish 'indexing the result'
    count "$work/$name.vcf.gz" >"$work/$name.counts.tsv" &
    finish 'counting'
    sites=$(bcftools index --nrecords "$work/$name.vcf.gz") || fail 'counting the sites failed'
    publish "$work/$name.vcf.gz" "$MERGED" "$name.vcf.gz"
    publish "$work/$name.vcf.gz.tbi" "$MERGED" "$name.vcf.gz.tbi"
    publish "$work/$name.counts.tsv" "$MERGED" "$name.counts.tsv"
    result "$name: ${#samples[@]} samples, $sites sites"
}

main "$@"
