"""benchmarks/gpu at toy size on the CPU: sessions add up, without optional packages."""

import csv
import importlib
import json
import os
import re
import runpy
import subprocess
import sys

import pytest
import yaml
from conftest import ROOT
from test_training import content, same

SCRIPT = ROOT / "benchmarks" / "gpu"
# packages that a machine with a GPU may lack
LACKING = "import sys, runpy; sys.modules |= dict.fromkeys(['yaml', 'scipy', 'pydantic', 'PIL', "
LACKING += "'torchvision', 'matplotlib', 'snakemake']); sys.argv = sys.argv[1:]; "
LACKING += "runpy.run_path(sys.argv[0], run_name='__main__')"


@pytest.fixture
def main(monkeypatch):
    """Return the function that `python benchmarks/gpu` calls."""
    monkeypatch.syspath_prepend(SCRIPT)
    return runpy.run_path(str(SCRIPT))["main"]


def test_a_study_in_sessions_writes_the_files_of_the_workflow(main, study, monkeypatch, capsys):
    """The shards equal the workflow's bit for bit, and nothing is left to train."""
    models = study.results / "models"
    paths = [
        models / "original" / "subset" / "000000-000029.h5",  # with margins
        models / "weight_decay" / "none" / "000000-000002.h5",
        models / "original" / "random_selected" / "000000-000002.h5",
        models / "original" / "selected" / "000000-000002.h5",
    ]
    expected = [content(path) for path in paths]
    written = paths[0].stat().st_mtime_ns
    lists = study.results / "removals"
    lists.rename(study.folder / "kept")
    for path in paths:
        path.unlink()
    config = study.folder / "small.yaml"
    config.write_text(yaml.safe_dump(study.config))
    arguments = ["study", "--data", study.folder / "data", "--output", study.results]

    def run(*more) -> str:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, [*arguments, *more])])
        main()
        return capsys.readouterr().out

    with pytest.raises(SystemExit, match="create it with --config"):
        run()
    (study.results / "study.json").write_text('{"shards": [')
    with pytest.raises(SystemExit, match=r"study\.json: damaged or not written by this script"):
        run()
    with pytest.raises(SystemExit):
        run("--processes", "0")
    with pytest.raises(SystemExit, match=r"nowhere\.yaml: cannot read it \(.*No such file"):
        run("--config", study.folder / "nowhere.yaml")
    assert "none are trained with --minutes 0" in run("--config", config, "--minutes", "0")
    assert "2 shards can be trained: run the command again" in run("--minutes", "0.0001")
    done = subprocess.run(
        [sys.executable, "-c", LACKING, SCRIPT, *arguments, "--minutes", "5"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert f"snakemake --configfile {config} -- {lists / 'selected.txt'}" in done.stdout
    assert paths[1].exists() and not paths[2].exists()
    (study.folder / "kept").rename(lists)
    assert "all models are trained" in run("--minutes", "5")
    assert all(same(content(path), kept) for path, kept in zip(paths, expected, strict=True))
    os.utime(paths[0], ns=(written, written))  # else the scores are computed again
    assert "train" not in study.planned()


def test_jobs_on_random_images(main, tmp_path, monkeypatch, capsys):
    """`resume` finds the same bits after kills, `models` a ratio of times."""
    options = ["--device", "cpu", "--network", "tiny", "--images", "512", "--batch", "64"]
    for command, more in (
        ("resume", ["--epochs", "60"]),
        ("models", ["--models", "2", "--epochs", "1"]),
    ):
        arguments = ["gpu", command, "--output", str(tmp_path), *options, *more]
        monkeypatch.setattr(sys, "argv", arguments)
        main()
    printed = capsys.readouterr().out
    assert "tiny, bfloat16: the same bits after 2 kills" in printed
    found = json.loads((tmp_path / "models.json").read_text())
    ratio = found["loop_seconds_per_model"] / found["job_seconds_per_model"]
    assert found["models_per_hour_ratio"] == pytest.approx(ratio, rel=0.02)


def test_speed_resumes_after_finished_measurements(main, tmp_path, monkeypatch):
    speed = importlib.import_module("speed")
    rows = [("copy", "", "", "", 1), ("tiny", "float32", "graph", "resident", 1)]
    rows += [("nothing", "float32", "graph", "resident", 1)]
    monkeypatch.setattr(
        speed, "plan", lambda networks: [dict(zip(speed.KEY, row, strict=True)) for row in rows]
    )
    path = tmp_path / "speed.csv"
    with open(path, "w", newline="") as file:
        out = csv.DictWriter(file, speed.COLUMNS)
        out.writeheader()
        copied = {"copied_gb_per_second": 2150, "on": "cpu", "images": 64, "batch": 16}
        out.writerow(dict(zip(speed.KEY, rows[0], strict=True)) | copied)
    monkeypatch.setitem(speed.ROOFLINE, "tiny", 1e4)
    command = "gpu speed --device cpu --images 64 --batch 16 --seconds 0.1 --minutes 5 --output"
    monkeypatch.setattr(sys, "argv", [*command.split(), str(tmp_path)])
    main()
    with open(path, newline="") as file:
        copy, tiny, nothing = csv.DictReader(file)
    assert copy["copied_gb_per_second"] == "2150"
    assert float(tiny["images_per_second"]) > 0
    # half the bandwidth of the stated roofline
    share = float(tiny["images_per_second"]) / 5e3
    assert float(tiny["share_of_roofline"]) == pytest.approx(share, abs=1e-3)
    assert "nothing" in nothing["error"] and not nothing["images_per_second"]
    before = path.read_bytes()
    main()
    assert path.read_bytes() == before
    for wrong, words in (
        ("--networks nosuch", "--networks nosuch: the networks are"),
        ("--batch 65", "--batch 65: must be from 1 to --images, 64"),
        ("--device gpu0", "--device gpu0: must be cuda"),
        (f"--output {path}", f"--output {path}: cannot create the folder"),
    ):
        monkeypatch.setattr(sys, "argv", [*command.split(), str(tmp_path), *wrong.split()])
        with pytest.raises(SystemExit, match=re.escape(words)):
            main()
    path.write_text("a,b\n1,2\n")
    monkeypatch.setattr(sys, "argv", [*command.split(), str(tmp_path)])
    with pytest.raises(SystemExit, match="not written by this script"):
        main()
