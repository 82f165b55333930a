# The names that `import memaudit` exports: for type checkers, and for `__getattr__` in __init__.py.
from memaudit.buckets.assign import Assignment as Assignment
from memaudit.buckets.assign import assign as assign
from memaudit.buckets.assign import removal_lists as removal_lists
from memaudit.buckets.leaks import Leak as Leak
from memaudit.buckets.subpopulations import shared_links as shared_links
from memaudit.duplicates.finder import find_duplicates as find_duplicates
from memaudit.models.removals import control_examples as control_examples
from memaudit.models.removals import subset_mask as subset_mask
from memaudit.results.statistics import Arm as Arm
from memaudit.results.statistics import Estimate as Estimate
from memaudit.results.statistics import accuracy_drop as accuracy_drop
from memaudit.results.statistics import equivalence as equivalence
from memaudit.results.statistics import holm as holm
from memaudit.results.statistics import no_effect as no_effect
from memaudit.results.two_way import TwoWay as TwoWay
from memaudit.scores.estimate import memorization as memorization
from memaudit.scores.external import judge_attributions as judge_attributions
from memaudit.scores.external import judge_scores as judge_scores
from memaudit.scores.facade import Scores as Scores
from memaudit.scores.privacy import lira as lira
from memaudit.scores.selection import Pair as Pair

__version__: str
