"""The smallest edit of a file's text, without running it: words that change, words that are new, what is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lightgbm import LGBMClassifier
from sklearn.linear_model import LogisticRegression

from millstream import Each, FeatureView, Model, Table, sources
from millstream import features as f
from millstream.definitions.manifest import gather
from millstream.project.notebook import source
from millstream.project.notebook.edit import edited

TEXT = '''"""A project; über alles."""
from lightgbm import LGBMClassifier

from millstream import Each, FeatureView, Model, Table, sources
from millstream import features as f

facts = Table("facts", source=sources.Csv("facts.csv"), key="id", event_time="at", timezone="UTC")
form = FeatureView("form", of=facts, entity="who", features={"n": f.count(over="7d")})  # how often, größer
odd = Model("odd", rows=Each(facts), label="x > 1", features=[form],
            estimator=LGBMClassifier(n_estimators=5), goal="roc_auc")
'''
facts = Table("facts", source=sources.Csv("facts.csv"), key="id", event_time="at", timezone="UTC")
form = FeatureView("form", of=facts, entity="who", features={"n": f.count(over="7d")})
odd = Model(
    "odd", rows=Each(facts), label="x > 1", features=[form], estimator=LGBMClassifier(n_estimators=5), goal="roc_auc"
)
NOW = gather([facts, form, odd])


def said_by(text):
    names = {}
    exec(text, names)
    return gather(names.values())


def adopted(model, *views):
    wanted = gather([facts, *({each.name: each for each in (form, *views)}.values()), model])
    text = edited(TEXT, NOW, wanted, "odd")
    assert source.meaning(said_by(text), "odd") == source.meaning(wanted, "odd")
    return text


@settings(max_examples=40, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "label": st.sampled_from(["x > 2", "y < 'ü\"\\n'"]),
            "goal": st.sampled_from(["roc_auc", "brier"]),
            "seed": st.integers(0, 99),
            "rows": st.sampled_from([Each(facts, where="x > 0"), Each(facts, decide_at="at - interval '1 hour'")]),
            "estimator": st.builds(
                lambda n, rate: LGBMClassifier(n_estimators=n, learning_rate=rate),
                st.sampled_from([5, 9, 100]),
                st.sampled_from([0.1, 0.25]),
            ),
            "features": st.sampled_from([[form, form.on({"who": "other"}, name="of_other")], [form.on({}, name="f2")]]),
        },
    )
)
def test_the_edited_file_says_what_was_wanted(changes):
    text = adopted(odd.but(**changes))
    assert text.splitlines()[:8] == TEXT.splitlines()[:8]  # all before the model stands as it was


def test_another_class_is_imported():
    text = adopted(odd.but(estimator=LogisticRegression(C=0.5)))
    assert "estimator=LogisticRegression(C=0.5" in text and "import LogisticRegression\n" in text


def test_a_view_changes_where_it_stands_and_a_new_one_comes_before_the_model():
    more = FeatureView("form", of=facts, entity="who", features={"n": f.count(over="7d"), "m": f.mean("x", over="1d")})
    new = FeatureView("last_form", of=facts, entity=("who", "what"), ttl="3d", features={"x": f.last("x")})
    text = adopted(odd.but(features=[more, new]), more, new)
    assert 'features={"n": f.count(over="7d"), "m": f.mean("x", over="1d")})  # how often, größer' in text
    assert text.index("last_form = FeatureView(") < text.index("odd = Model(")


def test_a_file_of_other_models_is_left_alone():
    assert edited("x = 1\n", NOW, NOW, "odd") is None


def test_what_has_no_words_in_the_file_is_said():
    with pytest.raises(source.Unwritten, match="does not import 'splits'"):
        from millstream import splits

        edited(TEXT, NOW, gather([facts, form, odd.but(split=splits.Time(test="3d"))]), "odd")
    clash = FeatureView("facts", of=facts, entity="who", features={"n": f.count()})
    with pytest.raises(source.Unwritten, match="another name"):
        edited(TEXT, NOW, gather([facts, form, clash, odd.but(features=[clash])]), "odd")
