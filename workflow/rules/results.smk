"""Accuracy drops, Table 2, figures."""


rule accuracies:
    input:
        shards_of(ARMS),
        # to check the shards by; models are trained anew when they change, and that counts
        dataset=ancient(DATASET),
        lists=ancient(lists_of(ARMS)),
    output:
        f"{RESULTS}/accuracies.h5",
    log:
        f"{RESULTS}/logs/accuracies.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        gathered=gathered(ARMS),
    script:
        "../scripts/accuracies.py"


rule table2:
    input:
        accuracies=f"{RESULTS}/accuracies.h5",
        leak_free=f"{RESULTS}/leak_free_test.txt",
        # for its test labels only; where they change, so do the accuracies
        dataset=ancient(DATASET),
    output:
        csv=f"{RESULTS}/table2.csv",
        markdown=f"{RESULTS}/table2.md",
    log:
        f"{RESULTS}/logs/table2.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        rows=ROWS,
        name=config["dataset"]["name"],
        statistics=lookup(dpath="statistics", within=config),
        held_out_half=lookup(dpath="selection/held_out_half", within=config),
        seed=config["seed"],
    script:
        "../scripts/table2.py"


rule published_counts:
    input:
        pairs=sourced("fz_pairs"),
        cifair=sourced("cifair100"),
    output:
        f"{RESULTS}/published_counts.csv",
    log:
        f"{RESULTS}/logs/published_counts.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    script:
        "../scripts/published_counts.py"


rule affected:
    input:
        accuracies=f"{RESULTS}/accuracies.h5",
        pairs=f"{RESULTS}/selected_pairs.csv",
        buckets=f"{RESULTS}/buckets.csv",
        # for its classes only
        dataset=ancient(DATASET),
    output:
        examples=f"{RESULTS}/affected.csv",
        groups=f"{RESULTS}/groups.csv",
        summary=f"{RESULTS}/affected_summary.csv",
        figure=report(
            f"{RESULTS}/figures/affected.png",
            caption="../report/affected.rst",
            category="4 Which test examples pay",
            labels={"what": "Test examples that pay for the drop"},
        ),
        svg=f"{RESULTS}/figures/affected.svg",
    log:
        f"{RESULTS}/logs/affected.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        rows=ROWS[:4],  # the paper's
    script:
        "../scripts/affected.py"


rule planted:
    input:
        dataset=DATASET,
        scores=SCORES,
        pairs=f"{RESULTS}/selected_pairs.csv",
        duplicates=f"{RESULTS}/duplicates.csv",
        buckets=f"{RESULTS}/buckets.csv",
    output:
        f"{RESULTS}/planted.csv",
    log:
        f"{RESULTS}/logs/planted.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    script:
        "../scripts/planted.py"


rule examples:
    input:
        dataset=DATASET,
        pairs=f"{RESULTS}/selected_pairs.csv",
        buckets=f"{RESULTS}/buckets.csv",
    output:
        exact=report(
            f"{RESULTS}/figures/exact_duplicates.png",
            caption="../report/exact_duplicates.rst",
            category="3 What was removed",
            labels={"what": "Exact duplicates (figure 1 of the paper)"},
        ),
        near=report(
            f"{RESULTS}/figures/near_duplicates.png",
            caption="../report/near_duplicates.rst",
            category="3 What was removed",
            labels={"what": "Near duplicates (figure 2 of the paper)"},
        ),
        groups=report(
            f"{RESULTS}/figures/subpopulations.png",
            caption="../report/subpopulations.rst",
            category="3 What was removed",
            labels={"what": "Subpopulations (figure 3 of the paper)"},
        ),
        svg=expand(f"{RESULTS}/figures/{{name}}.svg", name=EXAMPLES),
    log:
        f"{RESULTS}/logs/examples.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    script:
        "../scripts/examples.py"


rule learning_curves:
    input:
        shards=shards_of((recipe, "none") for recipe in RECIPES),
        # to check the shards by
        dataset=ancient(DATASET),
    output:
        csv=f"{RESULTS}/learning_curves.csv",
        png=report(
            f"{RESULTS}/figures/learning_curves.png",
            caption="../report/learning_curves.rst",
            category="6 Convergence, other settings",
            labels={"what": "Learning curves"},
        ),
        svg=f"{RESULTS}/figures/learning_curves.svg",
    log:
        f"{RESULTS}/logs/learning_curves.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        gathered=gathered([(recipe, "none") for recipe in RECIPES]),
    script:
        "../scripts/learning_curves.py"


rule figures:
    input:
        dataset=DATASET,
        scores=SCORES,
        pairs=f"{RESULTS}/selected_pairs.csv",
        buckets=f"{RESULTS}/buckets.csv",
        table=f"{RESULTS}/table2.csv",
        accuracies=f"{RESULTS}/accuracies.h5",
        ranked=f"{RESULTS}/ranked_pairs.csv",
    output:
        most_memorized=report(
            f"{RESULTS}/figures/most_memorized.png",
            caption="../report/most_memorized.rst",
            category="5 The scores",
            labels={"what": "Most memorized images"},
        ),
        memorization=report(
            f"{RESULTS}/figures/memorization.png",
            caption="../report/memorization.rst",
            category="5 The scores",
            labels={"what": "Memorization of all training examples"},
        ),
        drops=report(
            f"{RESULTS}/figures/drops.png",
            caption="../report/drops.rst",
            category="1 The answer: Table 2",
            labels={"what": "The drops of Table 2 as a figure"},
        ),
        similarity=report(
            f"{RESULTS}/figures/similarity.png",
            caption="../report/similarity.rst",
            category="3 What was removed",
            labels={"what": "Similarity and influence of all selected pairs"},
        ),
        svg=expand(f"{RESULTS}/figures/{{name}}.svg", name=FIGURES),
    log:
        f"{RESULTS}/logs/figures.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        near=lookup(dpath="duplicates/near", within=config),
        review=lookup(dpath="duplicates/review", within=config),
        influence=lookup(dpath="selection/influence", within=config),
    script:
        "../scripts/figures.py"
