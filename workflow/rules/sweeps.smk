"""Sweeps, each a target of its own; `all` includes none of them."""


rule sweeps:
    input:
        expand(f"{study.results}/{{name}}.csv", name=study.possible_sweeps),
    localrule: True


use rule accuracies as weight_decay_accuracies with:
    input:
        study.shards_of(study.sweeps["weight_decay"].arms),
        dataset=ancient(study.dataset),
        lists=ancient(study.removal_lists(study.sweeps["weight_decay"].arms)),
    output:
        f"{study.results}/sweeps/weight_decay.h5",
    log:
        f"{study.results}/logs/weight_decay_accuracies.log",
    params:
        gathered=study.gathered(study.sweeps["weight_decay"].arms),


rule weight_decay:
    input:
        accuracies=f"{study.results}/sweeps/weight_decay.h5",
        # only its number of test examples is read; where it changes, so do the accuracies
        dataset=ancient(study.dataset),
    output:
        csv=f"{study.results}/weight_decay.csv",
        png=report(
            f"{study.results}/figures/weight_decay.png",
            caption="../report/weight_decay.rst",
            category="6 Convergence, other settings",
            labels={"what": "Weight decay"},
        ),
        svg=f"{study.results}/figures/weight_decay.svg",
    log:
        f"{study.results}/logs/weight_decay.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        over="weight_decay",
        rows=study.sweeps["weight_decay"].rows,
        statistics=study.settings["statistics"],
        seed=study.config.seed,
    script:
        "../scripts/sweep.py"


# A checkpoint like `removals`: a list that is unchanged retrains nothing.
checkpoint above:
    input:
        scores_for("threshold_curve", study.scores),
    output:
        f"{study.results}/removals/{ABOVE}{{threshold}}.txt",
    log:
        f"{study.results}/logs/above/{{threshold}}.log",
    wildcard_constraints:
        threshold="|".join(map(re.escape, study.threshold_removals)),
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    script:
        "../scripts/above.py"


use rule accuracies as threshold_accuracies with:
    input:
        study.shards_of(study.sweeps["threshold_curve"].arms),
        dataset=ancient(study.dataset),
        lists=ancient(study.removal_lists(study.sweeps["threshold_curve"].arms)),
    output:
        f"{study.results}/sweeps/threshold_curve.h5",
    log:
        f"{study.results}/logs/threshold_accuracies.log",
    params:
        gathered=study.gathered(study.sweeps["threshold_curve"].arms),


rule threshold_curve:
    input:
        accuracies=f"{study.results}/sweeps/threshold_curve.h5",
        # only its number of test examples is read; where it changes, so do the accuracies
        dataset=ancient(study.dataset),
    output:
        csv=f"{study.results}/threshold_curve.csv",
        png=report(
            f"{study.results}/figures/threshold_curve.png",
            caption="../report/threshold_curve.rst",
            category="6 Convergence, other settings",
            labels={"what": "Thresholds of memorization"},
        ),
        svg=f"{study.results}/figures/threshold_curve.svg",
    log:
        f"{study.results}/logs/threshold_curve.log",
    localrule: True
    conda:
        "../../envs/memaudit.yaml"
    params:
        over="threshold",
        rows=study.sweeps["threshold_curve"].rows,
        statistics=study.settings["statistics"],
        seed=study.config.seed,
    script:
        "../scripts/sweep.py"


rule rescored:
    input:
        first=scores_for("rescored", study.scores),
        second=scores_for("rescored", f"{study.results}/scores/{study.other_recipe}.h5"),
        first_shards=study.shards(study.config.memorization.recipe, "subset"),
        second_shards=study.shards(study.other_recipe, "subset"),
        dataset=study.dataset,
        buckets=f"{study.results}/buckets.csv",
    output:
        csv=f"{study.results}/rescored.csv",
        png=report(
            f"{study.results}/figures/rescored.png",
            caption="../report/rescored.rst",
            category="6 Convergence, other settings",
            labels={"what": "Memorization under the other recipe"},
        ),
        svg=f"{study.results}/figures/rescored.svg",
    log:
        f"{study.results}/logs/rescored.log",
    conda:
        "../../envs/memaudit.yaml"
    resources:
        mem_mb=8000,
    params:
        recipes=study.rescored_recipes,
        models=study.config.memorization.models,
        fraction=study.config.memorization.subset_fraction,
        estimator=study.config.memorization.estimator,
        thresholds=study.settings["selection"],
        seed=study.config.seed,
    script:
        "../scripts/rescored.py"
