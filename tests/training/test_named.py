"""Metrics are held against the kind of answer as soon as definitions load."""

import pytest

from millstream.definitions import tasks
from millstream.errors import DefinitionError
from millstream.project.named import refuse_metrics
from tests.training.made import manifest

GROUPS = {"label": None, "estimator": None, "task": tasks.Clusters(3), "goal": ""}


@pytest.mark.parametrize(
    ("words", "says", "expected"),
    [
        ({"metrics": ["brir"]}, "model 'late' names a metric 'brir'", "brier"),
        ({"goal": "roc"}, "names a metric 'roc'", "roc_auc"),
        ({"metrics": ["rmse"]}, "no kind of answer has all the metrics of model 'late': rmse, roc_auc", "of one kind"),
        ({"metrics": ["silhouette"]}, "'silhouette' of model 'late' is not for the kind of answer its label", "brier"),
        ({"task": tasks.Multiclass()}, "'brier' of model 'late' is not for a multiclass task", "macro_f1"),
        ({**GROUPS, "metrics": ["stability"]}, "'stability' of model 'late' is not for a clusters task", "silhouette"),
        ({"metrics": [], "goal": "bias"}, "the goal of model 'late' is 'bias', which is 0 at its best", "roc_auc"),
    ],
)
def test_a_wrong_metric_is_noticed_before_training(words, says, expected):
    with pytest.raises(DefinitionError) as wrong:
        refuse_metrics(manifest(**words))
    assert says in wrong.value.happened and expected in f"{wrong.value.expected}"


def test_right_ones_pass_whatever_the_label_turns_out_to_be():
    for words in ({}, {"metrics": ["mae"], "goal": "rmse"}, {**GROUPS, "metrics": ["explained"]}):
        refuse_metrics(manifest(**words))
