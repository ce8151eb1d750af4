"""Lineage and catalog of the flights example, in a notebook: from a delay to the model and back."""


def test_a_delay_leads_to_features_and_a_released_version_back_to_sources(p):
    down = p.lineage("movements.dep_delay")
    assert down["models"] == ["late"] and down["below"]["feature"] == 3 and down["below"]["version"] >= 1
    assert {"kind": "model", "name": "late", "why": "it reads table flights"} in down["breaks"]
    model, version = p.lineage("late"), p.lineage("late@1")
    assert "movements.arr_delay" in model["sources"]
    assert set(version["sources"]) <= set(model["sources"]) and version["pins"]["flights"] == 0
    assert {"departed_at", "dep_delay"} <= set(p.catalog("movements")["column"])
    assert {"flights", "weather"} <= set(p.catalog()["table"])
    assert p.catalog(find="visib").frame["table"].to_list() == ["weather"]


def test_trainings_are_reads_of_their_tables(p):
    said = p.run("reads", {"table": "weather", "by": "tina"})
    assert {each["how"] for each in said["reads"]} >= {"training"}
    assert "wind_speed" in said["reads"][-1]["columns"]
