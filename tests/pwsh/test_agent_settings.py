"""An adapter's settings are changed by the NetAdapter module, on Windows 7 by registry and restart."""

from __future__ import annotations

from typing import Any

import pytest
from pwsh_process import AgentProcess
from pwsh_state import GOOD
from pwsh_windows import Windows

from harness import wire


@pytest.fixture(scope="module", params=["server2016", "windows7"])
def windows(request: pytest.FixtureRequest, make_windows: Any) -> Windows:
    made: Windows = make_windows(request.param)
    return made


def test_a_setting_is_set_on_the_adapter_with_that_address(kept: AgentProcess, windows: Windows) -> None:
    windows.put(GOOD)
    answer = kept.ask("set_network_setting", mac="00:16:3e:0a:0b:0c", keyword="*RSS", value="0")
    assert isinstance(answer, wire.Answer), answer
    assert answer.result is None
    if windows.old:
        key = windows.log[0]["key"]
        assert key.endswith("\\0007")
        assert [entry.get("method") for entry in windows.log] == [None, "Disable", "Enable"]
        assert (windows.log[0]["name"], windows.log[0]["value"]) == ("*RSS", "0")
    else:
        assert windows.log == [{"keyword": "*RSS", "value": ["0"]}]


@pytest.mark.parametrize(("mac", "keyword"), [("00:16:3e:0a:0b:0c", "*None"), ("00:00:00:00:00:00", "*RSS")])
def test_a_missing_adapter_or_setting_is_not_found(
    kept: AgentProcess, windows: Windows, mac: str, keyword: str
) -> None:
    windows.put(GOOD)
    answer = kept.ask("set_network_setting", mac=mac, keyword=keyword, value="1")
    assert isinstance(answer, wire.Refusal), answer
    assert answer.kind == "not-found"
    assert windows.log == []
