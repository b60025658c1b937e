# shellcheck shell=bash disable=SC2034  # The scripts that source this use these.
#
# Where the steps of the variant-calling workflow read and write, and how they work.
#
# Each setting can be given in the environment instead. Folders are relative to the one where a
# step is started, the pilot's; all but SCRATCH may be in S3: s3://BUCKET/PREFIX.

# What is read:

: "${COHORT:=build/use-case/cohort}" # as make-cohort.sh makes it

# With REFERENCE.fai beside it; for bwa its .amb, .ann, .bwt, .pac and .sa; for GATK its .dict.
# Each task that needs one of S3 fetches it: keep large ones on the machines.
: "${REFERENCE:=$COHORT/reference.fa}"

: "${READS:=$COHORT/reads}"                    # SAMPLE_1.fastq.gz and SAMPLE_2.fastq.gz
: "${COHORT_SAMPLES:=$COHORT/samples.txt}"     # a sample's name a line
: "${CHROMOSOMES:=chr1,chr2,chr3}"             # those that are called and merged

# What is written:

: "${RESULTS:=build/use-case/results}"
: "${ALIGNMENTS:=$RESULTS/alignments}" # SAMPLE.bam or SAMPLE.cram, with SAMPLE.bam.bai or .cram.crai
: "${GVCFS:=$RESULTS/gvcfs}"           # SAMPLE/SAMPLE.CHROM.g.vcf.gz and its .tbi
: "${MERGED:=$RESULTS/merged}"         # COHORT.vcf.gz and its .tbi, and COHORT.counts.tsv

# Where the temporary files go: it needs room for a sample's reads, twice.
: "${SCRATCH:=${TMPDIR:-/tmp}}"

# How:

: "${CALLER:=}"          # gatk or bcftools; empty: gatk, if it is on the PATH
: "${THREADS:=1}"        # of a task; a pilot runs several tasks at once
: "${JAVA_MEMORY:=3g}"   # of GATK
: "${MIN_QUALITY:=20}"   # of a site in the merged calls (QUAL, phred-scaled)
