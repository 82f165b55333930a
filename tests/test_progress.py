"""Progress of a running study, and what it prints at its end."""

import os
import time

import pytest

from memaudit.models.shards import partial_folder
from memaudit.study import endings, progress
from memaudit.study.jobs import job


def shard(folder, first, last):
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{first:06d}-{last:06d}.h5"


def test_models_are_counted_whole_partial_and_outdated(tmp_path):
    now = time.time()
    whole, partial, old = (shard(tmp_path, first, first + 9) for first in (0, 10, 20))
    whole.touch()
    old.touch()
    os.utime(old, (now - 100, now - 100))
    for trial in (10, 11, 12):
        kept = partial_folder(partial) / f"{trial:06d}.h5"
        kept.parent.mkdir(exist_ok=True)
        kept.touch()
    (partial_folder(partial) / "000013.pt").touch()
    assert [progress.trained(path, now - 1) for path in (whole, partial, old)] == [10, 3, 0]


def test_models_in_shards_of_other_trials_are_counted(tmp_path, monkeypatch, capsys):
    """As after an edit of models_per_job: they will be taken over."""
    wanted, same, old = (shard(tmp_path / name, 0, 9) for name in ("a", "b", "a"))
    old = old.with_name("000000-000004.h5")
    old.touch()
    counted = []

    def left(path):
        counted.append(path)
        return 4

    class DoneError(Exception):
        pass

    def sleep(seconds):
        raise DoneError

    monkeypatch.setattr(progress.time, "sleep", sleep)
    shards = {path: (1.0, lambda path=path: left(path)) for path in (wanted, same)}
    with pytest.raises(DoneError):
        progress._watch(lambda: shards)
    assert capsys.readouterr().err == "models: 6 of 20 trained\n"
    assert counted == [wanted]  # reading shards takes time


def test_the_remaining_time_follows_from_what_was_trained_since(tmp_path):
    cheap, dear = shard(tmp_path, 0, 9), shard(tmp_path, 10, 19)
    costs = {cheap: 1.0, dear: 5.0}
    # 10 of 60 were done before; 10 more in 600 s, so the 40 that are left take 2,400 s
    line = progress.line({cheap: 10, dear: 2}, costs, 10.0, 600.0)
    assert line == "models: 12 of 20 trained, about 40 minutes left"
    assert progress.line({cheap: 0, dear: 2}, costs, 10.0, 600.0) == "models: 2 of 20 trained"
    assert progress.line({cheap: 10, dear: 10}, costs, 10.0, 60.0) == "models: 20 of 20 trained"


EARLIER = "2026-01-01 10:00:00 error: the loss is nan\n"


def test_why_a_job_did_not_finish(tmp_path):
    """Only the last line of this run counts; an error of an earlier attempt is not repeated."""
    log = tmp_path / "1.log"
    assert endings.failure(log, 0) is None
    log.write_text("")
    assert endings.failure(log, 0).startswith("ended before it logged anything: stopped by a")
    assert endings.failure(log, 0, True).startswith("did not start: submission failed")
    log.write_text(EARLIER)
    assert endings.failure(log, 0) == "the loss is nan"
    log.write_text(EARLIER + "2026-01-01 10:01:00 trial 3, 4 of 9 models\n")
    why = endings.failure(log, 0)
    assert why.startswith("terminated without an error message (killed, out of memory")
    assert why.endswith("last log line: trial 3, 4 of 9 models")
    log.write_text(EARLIER + "2026-01-01 10:01:00 stopped by SIGTERM; saved after 3 epochs\n")
    assert endings.failure(log, 0) == "stopped by SIGTERM; saved after 3 epochs"
    log.write_text(EARLIER + "2026-01-01 10:01:00 done in 3.4 s\n")
    assert endings.failure(log, 0) is None  # it finished; Slurm had not been asked again
    log.write_text(EARLIER + "2026-01-01 10:01:00 unexpected error, KeyError: 'a'\n")
    assert endings.failure(log, 0).startswith("unexpected error, KeyError: 'a'. This is a bug")
    log.write_text("2026-01-01 10:00:00 error: first line\nsecond line\n")
    assert endings.failure(log, 0) == "first line\nsecond line"
    assert endings.failure(log, time.time() + 60) is None
    assert endings.what_failed([log], time.time() + 60) == ""
    text = endings.what_failed([log, tmp_path / "2.log"], 0)
    assert text.count("(log: ") == 1
    assert text.endswith("Fix the cause, then run the same command again to continue.")


def test_what_is_older_than_the_table_is_named_at_the_end(tmp_path):
    for name, age in (("claims.csv", 300), ("rescored.csv", 10), ("table2.md", 100)):
        (tmp_path / name).write_text("| row |\n")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    (tmp_path / "answer.md").write_text("The drop is 1.00 pp.\n")
    others = {name: f"{name}.csv" for name in ("claims", "rescored", "threshold_curve")}
    words = endings.closing_words(tmp_path, False, 400, others, time.time() - 200)
    assert words.startswith("\n| row |\n")
    assert "\n\nThe drop is 1.00 pp.\n\nResults in" in words
    assert "Older than this table, possibly from other settings: claims.\n" in words
    # a run that left the table as it was
    assert "Older than" not in endings.closing_words(tmp_path, False, 400, others, time.time())


def test_a_bug_ends_in_words_and_its_traceback_is_in_the_log(tmp_path):
    log = tmp_path / "1.log"
    with pytest.raises(ZeroDivisionError), job(log) as report:
        report.note("trial 3, 4 of 9 models")
        print(1 / 0)
    text = log.read_text()
    assert "Traceback" in text and "print(1 / 0)" in text
    why = endings.failure(log, 0)
    assert why.startswith("unexpected error, ZeroDivisionError: division by zero. This is a bug")
    assert "killed" not in endings.what_failed([log], 0)
