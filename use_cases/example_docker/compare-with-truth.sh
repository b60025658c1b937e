#!/usr/bin/env bash
#
# Compares the merged calls of a cohort with the variants that make-cohort.sh put in.
#
#     bash compare-with-truth.sh CALLS.vcf.gz TRUTH.vcf.gz
#
# For each sample it prints the number of known variants and of called variants, the recall (the share of
# known variants that were called), the precision (the share of called variants that are known), and the
# share of correct genotypes among the variants that are both known and called. A variant is a position
# with its two alleles, normalised. The exit code is 1 unless the recall and precision of every sample are
# above MIN_SHARE (default: 0.9).

source "$(dirname -- "${BASH_SOURCE[0]}")/functions.sh"

usage='Usage: bash compare-with-truth.sh CALLS.vcf.gz TRUTH.vcf.gz'
: "${MIN_SHARE:=0.9}"

# Prints a sample's variants, one per line: chromosome, position, alleles, genotype (0/1 or 1/1).
variants() {
    local sample=$1 vcf=$2
    bcftools view --no-version -a -s "$sample" -Ou "$vcf" |
        bcftools view --no-version -i 'GT="alt"' -Ou |
        bcftools norm --no-version -f "$reference" -m -any -Ou 2>"$work/norm.log" |
        bcftools query -i 'GT="alt"' -f '%CHROM:%POS:%REF:%ALT\t[%GT]\n' |
        sed 's/|/\//; s/1\/0$/0\/1/'
}

unreadable() {
    cat -- "$work/norm.log" >&2
    fail "reading $1 failed: see above"
}

# Prints a sample's row; exits with 1 if it isn't good enough.
compare() {
    local sample=$1 calls=$2 truth=$3
    variants "$sample" "$truth" >"$work/known" || unreadable "$truth"
    variants "$sample" "$calls" >"$work/called" || unreadable "$calls"
    awk -F '\t' -v sample="$sample" -v min="$MIN_SHARE" '
        FILENAME ~ /known$/ { known[$1] = $2; all++; next }
        { called++ }
        $1 in known { both++; same += known[$1] == $2 }
        END {
            recall = all ? both / all : 0
            precision = called ? both / called : 0
            genotypes = both ? same / both : 0
            printf "%s\t%d\t%d\t%.3f\t%.3f\t%.3f\n", sample, all, called, recall, precision, genotypes
            exit !(recall > min && precision > min)
        }
    ' "$work/known" "$work/called"
}

main() {
    (($# == 2)) || misused 'the calls and the truth are needed'
    local sample calls truth bad=()
    need bcftools
    start_work
    fetch_reference
    fetch "$1" 'the third step, merge.sh, makes it'
    calls=$fetched
    fetch "$2" 'make-cohort.sh makes it'
    truth=$fetched
    printf 'sample\tknown\tcalled\trecall\tprecision\tgenotypes\n'
    bcftools query -l "$truth" >"$work/samples" || fail "reading $truth failed: see above"
    while read -r sample; do
        compare "$sample" "$calls" "$truth" || bad+=("$sample")
    done <"$work/samples"
    ((${#bad[@]} == 0)) || fail "recall or precision isn't above $MIN_SHARE: ${bad[*]}"
}

main "$@"
