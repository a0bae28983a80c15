include: "workflow/Snakefile"


# Snakemake does not take the default target from an included file.
rule complete:
    default_target: True
    input:
        rules.all.input,
