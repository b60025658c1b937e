# shellcheck shell=bash disable=SC2034  # The scripts that source this use these.
#
# Where the steps of the variant-calling workflow read and write, and how they work.
#
# You can set each of these in the environment instead. Folders are relative to the folder where the step
# is started, which is the pilot's. All except SCRATCH can be in S3: s3://BUCKET/PREFIX.

# Input:

: "${COHORT:=build/use-case/cohort}" # as make-cohort.sh makes it

# REFERENCE.fai must be beside it; for bwa also .amb, .ann, .bwt, .pac and .sa; for GATK also .dict.
# Every task that needs a reference in S3 fetches it, so keep large ones on the machines.
: "${REFERENCE:=$COHORT/reference.fa}"

: "${READS:=$COHORT/reads}"                    # SAMPLE_1.fastq.gz and SAMPLE_2.fastq.gz
: "${COHORT_SAMPLES:=$COHORT/samples.txt}"     # one sample's name per line
: "${CHROMOSOMES:=chr1,chr2,chr3}"             # the chromosomes to call and merge

# Output:

: "${RESULTS:=build/use-case/results}"
: "${ALIGNMENTS:=$RESULTS/alignments}" # SAMPLE.bam or SAMPLE.cram, with SAMPLE.bam.bai or .cram.crai
: "${GVCFS:=$RESULTS/gvcfs}"           # SAMPLE/SAMPLE.CHROM.g.vcf.gz and its .tbi
: "${MERGED:=$RESULTS/merged}"         # COHORT.vcf.gz and its .tbi, and COHORT.counts.tsv

# The folder for temporary files. It needs twice the space of a sample's reads.
: "${SCRATCH:=${TMPDIR:-/tmp}}"

# Parameters:

: "${CALLER:=}"          # gatk or bcftools (default: gatk if it is on the PATH)
: "${THREADS:=1}"        # per task; a pilot runs several tasks at once
: "${JAVA_MEMORY:=3g}"   # for GATK
: "${MIN_QUALITY:=20}"   # minimum QUAL (phred-scaled) of a site in the merged calls
