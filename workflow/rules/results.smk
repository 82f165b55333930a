"""Accuracy drops, Table 2, figures."""


rule accuracies:
    input:
        study.shards_of(study.arms),
        # to check the shards; where these change, so do the models
        dataset=ancient(study.dataset),
        lists=ancient(study.removal_lists(study.arms)),
    output:
        f"{study.results}/accuracies.h5",
    log:
        f"{study.results}/logs/accuracies.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        gathered=study.gathered(study.arms),
    script:
        "../scripts/accuracies.py"


rule table2:
    input:
        accuracies=f"{study.results}/accuracies.h5",
        leak_free=f"{study.results}/leak_free_test.txt",
        # only its test labels are read; where they change, so do the accuracies
        dataset=ancient(study.dataset),
    output:
        csv=f"{study.results}/table2.csv",
        markdown=f"{study.results}/table2.md",
        answer=f"{study.results}/answer.md",
    log:
        f"{study.results}/logs/table2.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        rows=study.rows,
        name=study.name,
        statistics=study.settings["statistics"],
        held_out_half=study.config.selection.held_out_half,
        source=study.config.memorization.source,
        seed=study.config.seed,
        # the papers' values are for CIFAR-100
        published=study.config.dataset.kind == "cifar100",
    script:
        "../scripts/table2.py"


rule published_counts:
    input:
        pairs=study.remote_file("fz_pairs"),
        cifair=study.remote_file("cifair100"),
        annotation=study.fz_annotation,
        # the finder's duplicates, if the images are those of the published pairs
        duplicates=(
            f"{study.results}/duplicates.csv" if study.config.dataset.kind == "cifar100" else []
        ),
    output:
        f"{study.results}/published_counts.csv",
    log:
        f"{study.results}/logs/published_counts.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    script:
        "../scripts/published_counts.py"


rule affected:
    input:
        accuracies=f"{study.results}/accuracies.h5",
        pairs=f"{study.results}/selected_pairs.csv",
        buckets=f"{study.results}/buckets.csv",
        # only its classes are read
        dataset=ancient(study.dataset),
    output:
        examples=f"{study.results}/affected.csv",
        groups=f"{study.results}/groups.csv",
        summary=f"{study.results}/affected_summary.csv",
        figure=report(
            f"{study.results}/figures/affected.png",
            caption="../report/affected.rst",
            category="4 Affected test examples",
            labels={"what": "Affected test examples"},
        ),
        svg=f"{study.results}/figures/affected.svg",
    log:
        f"{study.results}/logs/affected.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        rows=study.paper_rows,
        published=study.config.memorization.source == "published",
    script:
        "../scripts/affected.py"


rule planted:
    input:
        dataset=study.dataset,
        scores=study.scores,
        pairs=f"{study.results}/selected_pairs.csv",
        duplicates=f"{study.results}/duplicates.csv",
        buckets=f"{study.results}/buckets.csv",
    output:
        f"{study.results}/planted.csv",
    log:
        f"{study.results}/logs/planted.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    script:
        "../scripts/planted.py"


rule examples:
    input:
        dataset=study.dataset,
        pairs=f"{study.results}/selected_pairs.csv",
        buckets=f"{study.results}/buckets.csv",
        leaks=f"{study.results}/leaks.csv",
    output:
        exact=report(
            f"{study.results}/figures/exact_duplicates.png",
            caption="../report/exact_duplicates.rst",
            category="3 What was removed",
            labels={"what": "Exact duplicates (figure 1 of the paper)"},
        ),
        near=report(
            f"{study.results}/figures/near_duplicates.png",
            caption="../report/near_duplicates.rst",
            category="3 What was removed",
            labels={"what": "Near duplicates (figure 2 of the paper)"},
        ),
        groups=report(
            f"{study.results}/figures/subpopulations.png",
            caption="../report/subpopulations.rst",
            category="3 What was removed",
            labels={"what": "Subpopulations (figure 3 of the paper)"},
        ),
        svg=expand(f"{study.results}/figures/{{name}}.svg", name=EXAMPLE_FIGURES),
    log:
        f"{study.results}/logs/examples.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    script:
        "../scripts/examples.py"


rule learning_curves:
    input:
        shards=study.shards_of(study.full_arms),
        # to check the shards
        dataset=ancient(study.dataset),
    output:
        csv=f"{study.results}/learning_curves.csv",
        png=report(
            f"{study.results}/figures/learning_curves.png",
            caption="../report/learning_curves.rst",
            category="6 Convergence, other settings",
            labels={"what": "Learning curves"},
        ),
        svg=f"{study.results}/figures/learning_curves.svg",
    log:
        f"{study.results}/logs/learning_curves.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        gathered=study.gathered(study.full_arms),
    script:
        "../scripts/learning_curves.py"


rule figures:
    input:
        dataset=study.dataset,
        scores=study.scores,
        pairs=f"{study.results}/selected_pairs.csv",
        buckets=f"{study.results}/buckets.csv",
        table=f"{study.results}/table2.csv",
        accuracies=f"{study.results}/accuracies.h5",
        ranked=f"{study.results}/ranked_pairs.csv",
    output:
        influence=report(
            f"{study.results}/figures/influence.png",
            caption="../report/influence.rst",
            category="3 What was removed",
            labels={"what": "Most memorized images and whom they influence"},
        ),
        most_memorized=report(
            f"{study.results}/figures/most_memorized.png",
            caption="../report/most_memorized.rst",
            category="5 The scores",
            labels={"what": "Most memorized images"},
        ),
        memorization=report(
            f"{study.results}/figures/memorization.png",
            caption="../report/memorization.rst",
            category="5 The scores",
            labels={"what": "Memorization of all training examples"},
        ),
        drops=report(
            f"{study.results}/figures/drops.png",
            caption="../report/drops.rst",
            category="1 The answer",
            labels={"what": "3 Accuracy drops of Table 2"},
        ),
        similarity=report(
            f"{study.results}/figures/similarity.png",
            caption="../report/similarity.rst",
            category="3 What was removed",
            labels={"what": "Similarity and influence of all selected pairs"},
        ),
        svg=expand(f"{study.results}/figures/{{name}}.svg", name=FIGURES),
    log:
        f"{study.results}/logs/figures.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        near=study.config.duplicates.near,
        review=study.config.duplicates.review,
        influence=study.config.selection.influence,
        # the papers' values are for CIFAR-100
        published=study.config.dataset.kind == "cifar100",
    script:
        "../scripts/figures.py"
