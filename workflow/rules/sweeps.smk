"""Sweeps beside the study, each a target of its own; `all` makes none of them."""

WEIGHT_DECAY_ROWS = sweeps.weight_decay_rows(config)
THRESHOLD_ROWS = sweeps.threshold_rows(config)
OTHER_RECIPE = sweeps.other_recipe(config)
SWEEPS = [name for name in ("weight_decay", "rescored", "threshold_curve") if name not in LACKING]


rule sweeps:
    input:
        expand(f"{RESULTS}/{{name}}.csv", name=SWEEPS),
    localrule: True


use rule accuracies as weight_decay_accuracies with:
    input:
        shards_of(sweeps.arms(WEIGHT_DECAY_ROWS)),
        dataset=ancient(DATASET),
        lists=ancient(lists_of(sweeps.arms(WEIGHT_DECAY_ROWS))),
    output:
        f"{RESULTS}/sweeps/weight_decay.h5",
    log:
        f"{RESULTS}/logs/weight_decay_accuracies.log",
    params:
        gathered=gathered(sweeps.arms(WEIGHT_DECAY_ROWS)),


rule weight_decay:
    input:
        accuracies=f"{RESULTS}/sweeps/weight_decay.h5",
        # for its number of test examples only; where it changes, so do the accuracies
        dataset=ancient(DATASET),
    output:
        csv=f"{RESULTS}/weight_decay.csv",
        png=report(
            f"{RESULTS}/figures/weight_decay.png",
            caption="../report/weight_decay.rst",
            category="6 Convergence, other settings",
            labels={"what": "Weight decay"},
        ),
        svg=f"{RESULTS}/figures/weight_decay.svg",
    log:
        f"{RESULTS}/logs/weight_decay.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        over="weight_decay",
        rows=WEIGHT_DECAY_ROWS,
        statistics=lookup(dpath="statistics", within=config),
        seed=config["seed"],
    script:
        "../scripts/sweep.py"


# A checkpoint for the reason that `removals` is one: a list that came out as it was retrains nothing.
checkpoint above:
    input:
        needed("threshold_curve", SCORES),
    output:
        f"{RESULTS}/removals/{sweeps.ABOVE}{{threshold}}.txt",
    log:
        f"{RESULTS}/logs/above/{{threshold}}.log",
    wildcard_constraints:
        threshold="|".join(map(re.escape, sweeps.above(config))),
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    script:
        "../scripts/above.py"


use rule accuracies as threshold_accuracies with:
    input:
        shards_of(sweeps.arms(THRESHOLD_ROWS)),
        dataset=ancient(DATASET),
        lists=ancient(lists_of(sweeps.arms(THRESHOLD_ROWS))),
    output:
        f"{RESULTS}/sweeps/threshold_curve.h5",
    log:
        f"{RESULTS}/logs/threshold_accuracies.log",
    params:
        gathered=gathered(sweeps.arms(THRESHOLD_ROWS)),


rule threshold_curve:
    input:
        accuracies=f"{RESULTS}/sweeps/threshold_curve.h5",
        # for its number of test examples only; where it changes, so do the accuracies
        dataset=ancient(DATASET),
    output:
        csv=f"{RESULTS}/threshold_curve.csv",
        png=report(
            f"{RESULTS}/figures/threshold_curve.png",
            caption="../report/threshold_curve.rst",
            category="6 Convergence, other settings",
            labels={"what": "Thresholds of memorization"},
        ),
        svg=f"{RESULTS}/figures/threshold_curve.svg",
    log:
        f"{RESULTS}/logs/threshold_curve.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        over="threshold",
        rows=THRESHOLD_ROWS,
        statistics=lookup(dpath="statistics", within=config),
        seed=config["seed"],
    script:
        "../scripts/sweep.py"


rule rescored:
    input:
        first=needed("rescored", SCORES),
        second=needed("rescored", f"{RESULTS}/scores/{OTHER_RECIPE}.h5"),
        first_shards=shards(config["memorization"]["recipe"], "subset"),
        second_shards=shards(OTHER_RECIPE, "subset"),
        dataset=DATASET,
        buckets=f"{RESULTS}/buckets.csv",
    output:
        csv=f"{RESULTS}/rescored.csv",
        png=report(
            f"{RESULTS}/figures/rescored.png",
            caption="../report/rescored.rst",
            category="6 Convergence, other settings",
            labels={"what": "Memorization under the other recipe"},
        ),
        svg=f"{RESULTS}/figures/rescored.svg",
    log:
        f"{RESULTS}/logs/rescored.log",
    conda:
        "../../envs/memaudit.yaml"
    resources:
        mem_mb=8000,
    params:
        recipes={
            name: ALL_RECIPES[name] for name in (config["memorization"]["recipe"], OTHER_RECIPE)
        },
        models=config["memorization"]["models"],
        fraction=config["memorization"]["subset_fraction"],
        thresholds=lookup(dpath="selection", within=config),
        seed=config["seed"],
    script:
        "../scripts/rescored.py"
