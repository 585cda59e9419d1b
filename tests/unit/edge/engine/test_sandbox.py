from pathlib import Path

import pytest

from skerry.edge.engine.sandbox import (
    Program,
    bubblewrap_argv,
    bubblewrap_environment,
    find_executable,
    inside,
    plain_argv,
    plain_env,
    resolve,
)
from skerry.errors import Unsupported


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for folder in ("usr/bin", "lib64", "run", "tmp", "opt/model"):
        (root / folder).mkdir(parents=True)
    (root / "usr/bin/python3.11").touch()
    (root / "usr/bin/python3").symlink_to("python3.11")
    (root / "bin").symlink_to("usr/bin")
    (root / "lib64/ld-linux-x86-64.so.2").touch()
    (root / "var").mkdir()
    (root / "var/run").symlink_to("/run")
    (root / "escape").symlink_to("../../../../etc")
    (root / "loop").symlink_to("loop")
    return root


def program(root: Path, **env: str) -> Program:
    return Program(
        root=root,
        argv=["/usr/bin/python3", "-m", "x", "/opt/model"],
        env=env,
        working_dir="/",
        user=1000,
        mounts=[("/host/socket", "/var/run/iotedge", False)],
        hosts_file=Path("/state/hosts"),
        hostname="cnn",
    )


def test_links_are_followed_inside_the_image_only(root: Path) -> None:
    assert resolve(root, "/var/run/iotedge") == root / "run/iotedge"
    assert resolve(root, "/escape/passwd") == root / "etc/passwd"
    assert inside(root, "/var/run/iotedge") == "/run/iotedge"
    with pytest.raises(Unsupported, match="loop"):
        resolve(root, "/loop/x")


def test_a_program_is_found_by_path_and_by_name(root: Path) -> None:
    python = root / "usr/bin/python3.11"
    assert find_executable(root, "/bin/python3", "") == python
    assert find_executable(root, "python3", "/usr/bin") == python
    with pytest.raises(Unsupported, match="no program sh"):
        find_executable(root, "sh", "/usr/bin")


def test_bubblewrap_gets_no_capabilities_its_own_namespaces_and_nothing_writable_of_the_image(
    root: Path,
) -> None:
    argv = bubblewrap_argv("bwrap", program(root, A="1"), status_fd=7, environment_fd=9, seccomp_fd=8)
    text = " ".join(argv)
    assert "--unshare-all --new-session --as-pid-1 --cap-drop ALL --share-net" in text
    assert "--cap-drop ALL" in text
    assert f"--ro-bind {root} /" in text
    assert "--uid 1000 --gid 1000" in text
    assert "--bind /host/socket /run/iotedge" in text
    assert "--clearenv --args 9 -- /usr/bin/python3 -m x /opt/model" in text


def test_bubblewrap_reads_the_environment_where_nobody_else_can(root: Path) -> None:
    one = program(root, A="1", KEY="a b")
    assert bubblewrap_environment(one) == b"--setenv\0A\x001\0--setenv\0KEY\0a b\0"
    argv = bubblewrap_argv("bwrap", one, status_fd=7, environment_fd=9)
    assert "a b" not in argv


def test_plainly_the_images_own_loader_runs_it_with_paths_of_the_host(root: Path) -> None:
    argv = plain_argv(program(root), status_file=Path("/s"))
    assert argv[:2] == ["/bin/sh", "-c"]
    assert argv[3:5] == ["/s", str(root / "lib64/ld-linux-x86-64.so.2")]
    assert argv[7:] == [str(root / "usr/bin/python3.11"), "-m", "x", str(root / "opt/model")]


def test_plainly_environment_values_that_are_paths_become_the_hosts(root: Path) -> None:
    env = plain_env(
        program(
            root,
            MODEL="/opt/model",
            URI="unix:///var/run/iotedge/workload.sock",
            PATH="/usr/bin:/nowhere",
            TEXT="a/b",
        )
    )
    assert env == {
        "MODEL": str(root / "opt/model"),
        "URI": "unix:///host/socket/workload.sock",
        "PATH": f"{root}/usr/bin:/nowhere",
        "TEXT": "a/b",
    }


def test_plainly_an_image_without_a_known_loader_cannot_run(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/x").touch()
    static = Program(tmp_path, ["/bin/x"], {}, "/", None, [], Path("hosts"), "m")
    with pytest.raises(Unsupported, match="install bubblewrap"):
        plain_argv(static, status_file=Path("/s"))
