"""What learns: everything here adapts to a support set and so becomes able to predict."""

from course_utils.learners.bandits import (
    UCB1,
    EpsilonGreedy,
    Greedy,
    LearnedIndex,
    RandomArm,
    ThompsonSampling,
)
from course_utils.learners.base import MetaLearner, Predictor
from course_utils.learners.baselines import FineTune, FromScratch
from course_utils.learners.bayes import BayesOptimalSinusoid
from course_utils.learners.closed_form import BitWeights, RidgeHead, TanimotoGP, TanimotoNeighbor
from course_utils.learners.gradient import ANIL, FOMAML, MAML, MetaSGD, Reptile
from course_utils.learners.implicit import ImplicitMAML
from course_utils.learners.in_context import InContext
from course_utils.learners.language import Mixture, NGram
from course_utils.learners.learned_optimizer import LearnedOptimizer
from course_utils.learners.memory import RL2
from course_utils.learners.metric import FullContext, MatchingNet, ProtoNet, RelationNet
from course_utils.learners.planning import BayesOptimalBandit, GittinsIndex
from course_utils.learners.policy_gradient import ContextPolicy, JointPolicy, MAMLPolicy
from course_utils.learners.pretrained import LinearHead, NearestCentroid
from course_utils.learners.prior import PriorLogistic
from course_utils.learners.recomputing import RecomputingMAML
from course_utils.learners.recurrent import Recurrent
from course_utils.learners.reference import FromScratchAdam, NearestPoint, WithAdam
from course_utils.learners.scikit import Scikit
from course_utils.learners.transfer import FrozenFeatures, MultiHead

__all__ = [
    "ANIL",
    "FOMAML",
    "MAML",
    "RL2",
    "UCB1",
    "BayesOptimalBandit",
    "BayesOptimalSinusoid",
    "BitWeights",
    "ContextPolicy",
    "EpsilonGreedy",
    "FineTune",
    "FromScratch",
    "FromScratchAdam",
    "FrozenFeatures",
    "FullContext",
    "GittinsIndex",
    "Greedy",
    "ImplicitMAML",
    "InContext",
    "JointPolicy",
    "LearnedIndex",
    "LearnedOptimizer",
    "LinearHead",
    "MAMLPolicy",
    "MatchingNet",
    "MetaLearner",
    "MetaSGD",
    "Mixture",
    "MultiHead",
    "NGram",
    "NearestCentroid",
    "NearestPoint",
    "Predictor",
    "PriorLogistic",
    "ProtoNet",
    "RandomArm",
    "RecomputingMAML",
    "Recurrent",
    "RelationNet",
    "Reptile",
    "RidgeHead",
    "Scikit",
    "TanimotoGP",
    "TanimotoNeighbor",
    "ThompsonSampling",
    "WithAdam",
]
