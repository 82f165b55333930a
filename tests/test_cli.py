"""The command `memaudit`: dispatch, errors, and how `run` finds the workflow."""

import getpass
import os
import subprocess
import sys
from pathlib import Path

import pytest

from memaudit import __version__
from memaudit.cli import COMMANDS, duplicates, main, run, scores
from memaudit.duplicates import finder
from memaudit.errors import AuditError
from memaudit.study.home import home

HEAVY = "torch", "pandas", "snakemake", "numpy", "h5py", "scipy", "matplotlib", "pydantic", "yaml"


def test_help_and_version_import_nothing_heavy():
    code = (
        "import sys\nfrom memaudit.cli import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit: pass\n"
        f"assert not set({HEAVY}) & set(sys.modules), set({HEAVY}) & set(sys.modules)"
    )
    for arguments in (["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)):
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        assert arguments[-1] != "--help" or "usage: memaudit" in done.stdout


def test_the_module_is_the_command():
    command = [sys.executable, "-m", "memaudit", "--version"]
    assert subprocess.check_output(command, text=True) == f"memaudit {__version__}\n"


def test_the_thresholds_of_the_duplicate_finder_are_its_own():
    assert (duplicates.NEAR, duplicates.REVIEW) == (finder.NEAR, finder.REVIEW)


@pytest.mark.parametrize("arguments, words", [([], "COMMAND"), (["nonsense"], "invalid choice")])
def test_wrong_usage(arguments, words, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2 and words in capsys.readouterr().err


def test_exit_status_of_errors_and_interrupts(monkeypatch, capsys):
    def fail(error):
        def main(arguments):
            raise error

        monkeypatch.setattr(scores, "main", main)

    fail(AuditError("something is wrong"))
    assert main(["scores"]) == 1
    assert capsys.readouterr().err == "error: something is wrong\n"
    fail(KeyboardInterrupt())
    assert main(["scores"]) == 130


class Recorder:
    """Stands in for snakemake.cli and keeps what it is called with."""

    def main(self, arguments):
        self.arguments = arguments
        sys.exit(3)


@pytest.fixture
def snakemake(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    recorder = Recorder()
    monkeypatch.setattr(run, "require", lambda module, extra: recorder)
    return recorder


def test_run_passes_all_options_on(snakemake, tmp_path):
    (tmp_path / "study.yaml").write_text("trials: 3")
    options = [
        "x/table2.csv",
        "-n",
        "--configfile",
        "study.yaml",
        "--cores",
        "3",
        "--config",
        "seed=1",
    ]
    assert main(["run", *options]) == 3
    assert snakemake.arguments == ["--snakefile", str(home() / "Snakefile"), *options]


def test_run_in_a_folder_that_is_not_writable_is_refused(snakemake, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name == "own")
    (tmp_path / "own").mkdir()
    assert main(["run"]) == 1
    assert f"{tmp_path}: not writable; run in a folder of your own" in capsys.readouterr().err
    for options in (["--directory", "own"], ["-d", "own"], ["--version"]):
        assert main(["run", *options]) == 3


def test_run_in_a_container_whose_user_has_no_name(snakemake, monkeypatch):
    monkeypatch.setattr(os, "environ", {"HOME": os.environ["HOME"]})

    def unknown(number):
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr("pwd.getpwuid", unknown)
    assert main(["run"]) == 3
    assert getpass.getuser() == f"user{os.getuid()}"


def test_run_finds_shipped_files(snakemake, tmp_path):
    main(
        ["run", "--configfile", "config/demo.yaml", "--profile", "slurm", "--workflow-profile=none"]
    )
    quiet = ["--quiet", "rules", "host", "reason", "--snakefile"]
    assert snakemake.arguments[:5] == quiet
    assert snakemake.arguments[6:] == [
        *("--configfile", str(home() / "config" / "demo.yaml")),
        *("--profile", str(home() / "profiles" / "slurm")),
        "--workflow-profile=none",
    ]
    (tmp_path / "slurm").mkdir()  # the user's own
    main(["run", "--profile=slurm", "slurm"])
    assert snakemake.arguments[6:] == ["--profile=slurm", "slurm"]
    main(["run", "-s", "other/Snakefile"])
    assert snakemake.arguments == ["-s", "other/Snakefile"]


def test_run_names_a_missing_configuration(snakemake, capsys):
    assert main(["run", "--configfile", "nowhere.yaml"]) == 1
    assert "nowhere.yaml: configuration file not found" in capsys.readouterr().err
    for wrong in (["--configfile"], ["--configfile="], ["--configfile", "--cores", "3"]):
        assert main(["run", *wrong]) == 1
        assert "error: --configfile: name a file after it" in capsys.readouterr().err


def test_run_names_the_line_of_a_file_that_is_no_yaml(snakemake, tmp_path, capsys):
    for text, words in (
        ("trials: 3\nselection:\n\tz: 4\n", "study.yaml, line 3: not valid YAML ("),
        ("trials: {3", "study.yaml, line 1: not valid YAML ("),
        ("trials: \x02", "study.yaml: not valid YAML ("),
        ("", "study.yaml: no keys"),
        ("- trials", "study.yaml: no keys"),
        ("trials: 3\ntrials: 4", "study.yaml, line 2: duplicate key trials"),
        ("name: caf\u00e9".encode("latin-1"), "study.yaml: not UTF-8 text; save the file in"),
        ("trials: 3".encode("utf-16"), "study.yaml: not UTF-8 text; save the file in UTF-8"),
    ):
        (tmp_path / "study.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        for given in (["--configfile", "study.yaml"], ["--configfile=study.yaml"]):
            assert main(["run", *given]) == 1
            assert words in capsys.readouterr().err


def test_run_asks_for_the_study_of_the_folder(snakemake, tmp_path, capsys):
    assert main(["run"]) == 3  # the paper's study
    (tmp_path / "study.yaml").write_text("trials: 3")
    assert main(["run", "-n"]) == 1
    assert "Add --configfile study.yaml, or" in capsys.readouterr().err
    assert main(["run", "-n", "--configfile", "config/config.yaml"]) == 3
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text("trials: 3")
    assert main(["run", "-n"]) == 3


def test_plan_prints_why_it_failed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text("trials: many")
    assert main(["plan", "--configfile", "bad.yaml"]) == 1
    assert "trials = 'many'" in capsys.readouterr().err
    assert main(["plan", "--configfile", "config/demo.yaml", "--bogus"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: unrecognized arguments: --bogus; ") and said.count("\n") == 1


def test_a_key_without_a_value_is_one_line(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    for given, named in (
        (["--config", "trials", "3"], "--config trials"),
        (["-C", "trials=3", "x/table2.csv"], "-C x/table2.csv"),
        (["--config=3=trials"], "--config 3=trials"),
    ):
        assert main(["plan", "--configfile", "config/demo.yaml", *given]) == 1
        said = capfd.readouterr().err
        assert said.startswith(f"error: {named}: must be name=value, such as")
        assert said.count("\n") == 1


def test_run_where_the_home_is_read_only(snakemake, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file/cache"))
    main(["run"])
    assert "file/cache: not writable (Not a directory); using" in capsys.readouterr().err
    assert Path(os.environ["XDG_CACHE_HOME"]).is_dir()
