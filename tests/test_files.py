"""Artifacts: writes are atomic, nothing is unpickled, messages name damaged files."""

import errno
import os
import subprocess
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT
from hypothesis import given
from hypothesis import strategies as st
from prunecurve.errors import StudyError
from prunecurve.arrays import load_array, load_arrays, save_array, save_arrays, streamed_array
from prunecurve.files import atomic
from prunecurve.tables import as_text, read_columns, read_rows, write_rows
from prunecurve.provenance import seal
from prunecurve.statistics.means import read_table


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.csv"
    write_rows(path, [{"k": 1}], sealed=False)
    with pytest.raises(RuntimeError), atomic(path) as temporary:
        Path(temporary).write_text("half")
        raise RuntimeError
    assert path.read_text() == "k\n1\n"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_never_publish_half_a_file(tmp_path):
    """A job may continue after its Snakemake process was killed, while the next run starts the same job."""
    path = tmp_path / "a.npy"
    other = f"import sys; sys.path.insert(0, {str(PROJECT / 'workflow' / 'scripts')!r})\n" + (
        f"from prunecurve.files import atomic\nwith atomic({str(path)!r}) as t: open(t, 'w').write('other')\n"
    )
    with atomic(path) as temporary:
        Path(temporary).write_text("own, first half,")
        subprocess.run([sys.executable, "-c", other], check=True)
        assert path.read_text() == "other"
        with open(temporary, "a") as file:
            file.write(" second half")
    assert path.read_text() == "own, first half, second half"


def test_temporary_files_of_ended_processes_of_this_machine_and_artifact_alone_are_removed(tmp_path, monkeypatch):
    """Names of machines may contain each other, with or without a number at the end."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    names = []
    for host in ("compute", "compute-gpu", f"compute-{dead.pid}", "compute-gpu-2", "com"):
        monkeypatch.setattr(os, "uname", lambda host=host: SimpleNamespace(nodename=host))
        with atomic(tmp_path / "a.npy") as temporary:
            Path(temporary).write_text("half")
            # As if the process had been killed here.
            left = os.path.basename(temporary).replace(str(os.getpid()), str(dead.pid))
            names.append(left)
            os.link(temporary, tmp_path / left)
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(nodename="compute"))
    names.append(f".unfinished-compute@{os.getppid()}-a.npy")
    (tmp_path / names[-1]).write_text("of a process that runs")
    save_array(tmp_path / "b-a.npy", np.arange(3))
    assert {p.name for p in tmp_path.iterdir()} == {*names, "a.npy", "b-a.npy"}
    save_array(tmp_path / "a.npy", np.arange(3))
    assert {p.name for p in tmp_path.iterdir()} == {*names[1:], "a.npy", "b-a.npy"}


def test_the_same_bytes_keep_their_time_and_others_replace_them(tmp_path):
    path = tmp_path / "a.npy"
    save_array(path, np.arange(300_000))
    content = path.read_bytes()
    assert content.endswith(f"\tcrc32 {zlib.crc32(content[:-16]):08x}\n".encode()), "also of a file of several blocks"
    os.utime(path, ns=(10**18, 10**18))
    save_array(path, np.arange(300_000))
    assert path.stat().st_mtime_ns == 10**18 and list(tmp_path.iterdir()) == [path]
    changed = np.arange(300_000)
    changed[-1] = 0
    save_array(path, changed)
    assert path.stat().st_mtime_ns > 10**18 and np.array_equal(load_array(path), changed)
    path.unlink()
    save_array(path, changed)
    assert path.stat().st_mtime_ns > 10**18, "a run of Snakemake removes the output first"


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "no space is left in FOLDER; free disk space and run the same command again"),
        (errno.EROFS, "FOLDER is read-only; make it writable and run the same command again"),
        (errno.EACCES, "you have no write permission in FOLDER; change the folder's permissions and run the same"),
    ],
)
def test_write_errors_name_the_file_and_the_remedy(tmp_path, number, message):
    path = tmp_path / "a.npy"
    with pytest.raises(StudyError) as error, atomic(path) as temporary:
        Path(temporary).write_text("half")
        raise OSError(number, os.strerror(number))
    assert str(error.value).startswith(f"{path} cannot be written: {message.replace('FOLDER', str(tmp_path))}")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="Input/output error"), atomic(path):
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_short_write_without_errno_is_reported_if_the_disk_is_full(tmp_path, monkeypatch):
    """Numpy raises such an error: `1000 requested and 0 written`."""
    for free, expected in ((0, StudyError), (10**6, OSError)):
        disk = SimpleNamespace(f_blocks=10, f_bavail=free, f_frsize=4096)
        monkeypatch.setattr(os, "statvfs", lambda folder, disk=disk: disk)
        with pytest.raises(expected), atomic(tmp_path / "a.npy"):
            raise OSError("1000 requested and 0 written")


@given(st.floats(allow_nan=False))
def test_numbers_in_csv_are_exact(number):
    assert float(as_text(number)) == number


def test_objects_are_neither_written_nor_read(tmp_path):
    """A valid checksum does not protect against a malicious author."""
    objects = np.array([{"a": 1}], dtype=object)
    with pytest.raises(ValueError, match="allow_pickle"):
        save_array(tmp_path / "a.npy", objects)
    for load, array in ((load_array, objects), (load_arrays, np.zeros((), [("a", object)]))):
        np.save(tmp_path / "b.npy", array, allow_pickle=True)
        seal(str(tmp_path / "b.npy"))
        with pytest.raises(StudyError, match=r"b\.npy is not a readable .* delete it"):
            load(tmp_path / "b.npy")


def test_a_wrong_shape_is_named(tmp_path):
    save_array(tmp_path / "a.npy", np.zeros((4, 2)))
    assert load_array(tmp_path / "a.npy", shape=(None, 2)).shape == (4, 2)
    for shape in [(None, 3), (4,), (4, 2, None)]:
        with pytest.raises(StudyError, match=r"a\.npy has shape \(4, 2\), expected"):
            load_array(tmp_path / "a.npy", shape=shape)


def test_named_arrays_are_read_back_and_have_the_same_bytes(tmp_path):
    # With many layers, the header is longer than numpy reads by default. Odd sizes cause padding.
    arrays = {f"linear{i}.weight": np.full((2, i % 3), i, np.float32) for i in range(1, 300)}
    arrays |= {"flags": np.ones(3, bool), "eps": np.array(1e-5), "size": np.array(28)}
    for name in ("a.npy", "b.npy"):
        save_arrays(tmp_path / name, arrays)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    loaded = load_arrays(tmp_path / "a.npy")
    assert list(loaded) == list(arrays)
    for name, array in arrays.items():
        assert loaded[name].dtype == array.dtype and np.array_equal(loaded[name], array), name


@pytest.mark.parametrize("content", ["", "a,b\n", "a,b\n1\n", "a,b\n1,2,3\n"])
def test_a_broken_table_is_named(tmp_path, content):
    (tmp_path / "a.csv").write_text(content)
    for sealed in (False, True):
        with pytest.raises(StudyError, match=r"a\.csv is (empty or cut off|damaged)"):
            read_rows(tmp_path / "a.csv", sealed=sealed)


def test_columns_are_numbers(tmp_path):
    write_rows(tmp_path / "a.csv", [{"k": 1, "name": "x", "loss": 0.1}, {"k": 2, "name": "y", "loss": 0.2}])
    k, loss = read_columns(tmp_path / "a.csv", "k", "loss")
    assert (k.tolist(), loss.tolist()) == ([1, 2], [0.1, 0.2])


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


@given(data=st.data(), mapped=st.booleans())
def test_one_flipped_bit_of_an_array_is_detected(tmp_path_factory, data, mapped):
    """The bit can be in the header, in the numbers or in the checksum. Both ways of writing an array are tested."""
    path = tmp_path_factory.mktemp("flipped") / "a.npy"
    array = np.arange(60, dtype=np.float32).reshape(3, 20)
    if data.draw(st.booleans()):
        save_array(path, array)
    else:
        with streamed_array(path, (3, 20)) as streamed:
            streamed[:] = array
    assert np.array_equal(load_array(path, shape=(3, None), mapped=mapped), array)
    assert np.array_equal(np.load(path), array), "numpy reads the file too, without the checksum"
    flip(path, data.draw(st.integers(0, 8 * path.stat().st_size - 1)))
    with pytest.raises(StudyError, match=r"a\.npy is damaged.*; delete it and run again"):
        load_array(path, mapped=mapped)


@given(data=st.data())
def test_a_flipped_bit_a_lost_row_and_swapped_rows_are_detected(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("flipped") / "k3.csv"
    rows = [{"criterion": "l1_norm", "k": 3, "loss": 0.12345}, {"criterion": "l1_norm", "k": 4, "loss": 1e-7}]
    write_rows(path, rows)
    assert read_rows(path) == [{name: str(value) for name, value in row.items()} for row in rows]
    assert list(read_table(path)) == ["criterion", "k", "loss"]
    content = path.read_bytes()
    flip(path, data.draw(st.integers(0, 8 * len(content) - 1)))
    with pytest.raises(StudyError, match=r"k3\.csv"):
        read_rows(path)
    lines = content.split(b"\n")
    for damaged in (lines[:2], [lines[0], lines[2], lines[1], lines[3]], [*lines[:3], *lines[2:4]], lines[:1]):
        path.write_bytes(b"\n".join(damaged) + b"\n")
        with pytest.raises(StudyError, match=r"k3\.csv is (damaged|empty)"):
            read_rows(path)


@pytest.mark.parametrize("cut", [1, 15, 16, 17, 100, 10_000])
def test_a_file_that_is_cut_off_anywhere_or_without_checksum_or_missing_is_named(tmp_path, cut):
    path = tmp_path / "new" / "folder" / "a.npy"
    save_array(path, np.arange(40))
    path.write_bytes(path.read_bytes()[:-cut])
    for mapped in (False, True):
        with pytest.raises(StudyError, match=r"a\.npy is damaged"):
            load_array(path, mapped=mapped)
    np.save(path, np.arange(40))
    with pytest.raises(StudyError, match=r"a\.npy is damaged"):
        load_array(path)
    path.unlink()
    with pytest.raises(StudyError, match=r"a\.npy is not a readable .npy array"):
        load_array(path)


def test_a_sealed_table_is_read_by_pandas_without_its_last_line(tmp_path):
    write_rows(tmp_path / "order.csv", [{"order": 0, "channel": 1}, {"order": 1, "channel": 0}])
    assert (tmp_path / "order.csv").read_text().splitlines()[:3] == ["order,channel", "0,1", "1,0"]
    for table in (
        pd.read_csv(tmp_path / "order.csv", comment="#"),
        pd.read_csv(tmp_path / "order.csv", skipfooter=1, engine="python"),
        read_table(tmp_path / "order.csv"),
    ):
        assert table.to_dict("list") == {"order": [0, 1], "channel": [1, 0]}


def test_archives_of_older_versions_are_read(tmp_path):
    """Their tables have a column of checksums, and a line feed precedes the checksum of their arrays."""
    (tmp_path / "a.csv").write_text('k,loss,"crc32 | training.epochs: 8"\n3,0.5,0123abcd\n')
    assert read_table(tmp_path / "a.csv").to_dict("list") == {"k": [3], "loss": [0.5]}
    np.save(tmp_path / "a.npy", np.arange(3))
    content = (tmp_path / "a.npy").read_bytes() + b"\nsettings\ntraining.epochs: 8"
    (tmp_path / "a.npy").write_bytes(content + f"\ncrc32 {zlib.crc32(content):08x}\n".encode())
    assert load_array(tmp_path / "a.npy").tolist() == [0, 1, 2]
    flip(tmp_path / "a.npy", 8 * 130)
    with pytest.raises(StudyError, match=r"a\.npy is damaged"):
        load_array(tmp_path / "a.npy")
