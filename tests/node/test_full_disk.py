"""A node whose disk is full, as a process: it says so, takes nothing meanwhile, and goes on once there is room."""

import threading
from pathlib import Path

from tests.api.service import Service, eventually
from tests.faults.test_disk_full import full, small_disk


def test_a_node_waits_for_room_on_its_disk_and_loses_nothing(service: Service, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1) as disk:
        node = service.node("node.json", "--data-dir", disk / "n")
        told: list[str] = []
        assert node.stderr is not None
        stderr = node.stderr

        def listen() -> None:
            told.extend(iter(stderr.readline, ""))

        listener = threading.Thread(target=listen)
        listener.start()
        eventually(lambda: any("takes work" in one for one in told))
        issued = service.rows("cac.issued.v1")
        service.submit(1)
        eventually(lambda: service.rows("cac.issued.v1") == issued + 1)
        with full(disk):
            service.submit(2)
            eventually(lambda: any("No space left" in one for one in told))
            assert node.poll() is None
        eventually(lambda: service.rows("cac.issued.v1") == issued + 3)
        eventually(lambda: any("is written again" in one for one in told))
        assert service.rows("execution.faulted.v1") == 0
        node.terminate()
        assert node.wait(30) == 0
        listener.join(10)
        assert not [one for one in told if "Traceback" in one or "fault of the program" in one]
