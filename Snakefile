"""Includes the workflow, so that plain `snakemake` works in the root."""


include: "workflow/Snakefile"


# the default target, which an included file does not set
rule default:
    input:
        rules.all.input,
    localrule: True
