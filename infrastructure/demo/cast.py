"""Who takes part in the demo: tenants, nodes, their policies and the clauses that they govern. All of it is data.

Invariants:
- DAOs, operators and makers of machines are invented; what they judge is not (observations.py names the sources).
- Every threshold stands beside the sentence that says why it is what it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from domain.bounds import MEBIBYTE, Bounds
from domain.identifiers import parse_clause_id
from domain.policies.facts import NodeFacts
from domain.policies.kinds import (
    DomainBesideTrigger,
    Evidence,
    InCountry,
    IndependentAttestations,
    MaximumBounds,
    NoColocation,
    Nodes,
    Operators,
    ReAuthorisation,
    Rule,
)
from domain.time import HOUR_MS
from infrastructure.attestation.synthetic.platform import Kind

START_MS: Final = 1_767_600_000_000
"""Virtual time begins at 2026-01-05T08:00:00Z, whenever the demo is run."""

HOST: Final = "ledger.example"
LEVELS: Final = ("Disaster", "Health", "Finance", "Planning")
"""Highest first, as the root scope adopts them."""

DECLARED: Final = "disaster_declared"
"""The trigger of runs that a declared disaster set off."""

USUAL: Final = Bounds(memory_bytes=MEBIBYTE, fuel=2_000_000, wall_ms=60_000)
"""What a submission asks for: about ten times the fuel that the longest series needs."""

MOST: Final = Bounds(memory_bytes=4 * MEBIBYTE, fuel=20_000_000, wall_ms=120_000)
"""The greatest bounds of every clause here."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One clause over one series: how many newest rows it reads, its parameters, and why these."""

    clause: str
    resource_class: str
    series: str
    rows: int
    parameters: tuple[int, ...]
    why: str

    @property
    def domain(self) -> str:
        """Return the priority domain."""
        return self.resource_class.partition("::")[0]


@dataclass(frozen=True, slots=True)
class Member:
    """A tenant: what it judges, its lasting policy, and how long its TEEExecutorVC holds.

    With `verified_hardware` its policy also demands a platform's evidence, under the roots of this run's machines.
    """

    dao: str
    jurisdiction: str
    judgements: tuple[Judgement, ...]
    rules: tuple[Rule, ...]
    credential_ms: int = 30 * 24 * HOUR_MS
    verified_hardware: bool = False

    @property
    def name(self) -> str:
        """Return DAO/JUR."""
        return f"{self.dao}/{self.jurisdiction}"


@dataclass(frozen=True, slots=True)
class Program:
    """A clause: its module's file, who governs it, what it serves, and rules of its own that every run must keep."""

    clause: str
    module: str
    owner: str
    title: str
    resource_classes: tuple[str, ...]
    rules: tuple[Rule, ...] = ()


def families(member: Member) -> list[str]:
    """Return the clause families that a member's credential names."""
    return sorted({parse_clause_id(judgement.clause).family for judgement in member.judgements})


def classes(member: Member) -> list[str]:
    """Return the resource classes that a member's credential names."""
    return sorted({judgement.resource_class for judgement in member.judgements})


FLOOD: Final = "UNDRR::Disaster::Flood@1.0.0"
FLOOD_ALERT: Final = "UNDRR::Disaster::Flood@2.0.0"
DROUGHT: Final = "UNDRR::Disaster::Drought@1.0.0"
EL_NINO: Final = "WMO::Climate::ElNino@1.0.0"
EL_NINO_ALERT: Final = "WMO::Climate::ElNino@2.0.0"
INFLATION: Final = "BIS::Finance::Inflation@1.0.0"
OUTBREAK: Final = "WHO::Health::Outbreak@1.0.0"
OUTBREAK_NAMED: Final = "WHO::Health::Outbreak@2.0.0"
FLOOD_WITNESSED: Final = "UNDRR::Disaster::Flood@3.0.0"
UNREGISTERED: Final = "UNDRR::Disaster::Flood@9.0.0"

_FLOOD_WHY = "1,100 is passed in 18 of the Nile's 100 years on record, so a flood year is one in five or six"
_SEVENTH_WHY = (
    "850 is the mean flow after 1898, when the Nile's level fell; five years below it on average are a drought"
)
_OCEAN_WHY = "half a degree above the mean of the 30 years before, five months running, is the usual sign of an El Nino"
_PRICE_WHY = "4 percent a year over four quarters is twice the 2 percent that central banks aim at"
_CHOLERA_WHY = "three times the mean of the week before, and ten attacks a day at least, is no chance fluctuation"
_CRIMEA_WHY = "half as much again as the mean of the three months before, from 100 deaths on, calls for an inspection"
_HARVEST_WHY = (
    "ten years below the long mean of 919 would change what is sown, so planners ask earlier than relief does"
)

FLOODS: Final = Judgement(FLOOD, "Disaster::Flood@v1", "nile", 30, (1100,), _FLOOD_WHY)
DROUGHTS: Final = Judgement(DROUGHT, "Disaster::Drought@v1", "nile", 20, (5, 850), _SEVENTH_WHY)
WARM_SEAS: Final = Judgement(EL_NINO, "Disaster::ElNino@v1", "elnino", 12 * 30 + 5, (5, 30, 50), _OCEAN_WHY)
PRICES: Final = Judgement(INFLATION, "Finance::Inflation@v1", "cpi", 24, (4, 400), _PRICE_WHY)
CHOLERA: Final = Judgement(OUTBREAK, "Health::Outbreak@v1", "cholera", 9, (7, 300, 10), _CHOLERA_WHY)
CRIMEA: Final = Judgement(OUTBREAK, "Health::Outbreak@v1", "crimea", 5, (3, 150, 100), _CRIMEA_WHY)
SEASONS: Final = Judgement(DROUGHT, "Planning::Season@v1", "nile", 25, (10, 919), _HARVEST_WHY)

NILE: Final = Member(
    "NileBasin",
    "EGY",
    (FLOODS, DROUGHTS),
    (
        InCountry(kind="in_country", countries=("DEU", "EGY", "FRA", "KEN")),
        ReAuthorisation(kind="re_authorisation", roles=("reauthoriser",), threshold=2, timeout_ms=6 * HOUR_MS),
    ),
)
OCEAN: Final = Member(
    "OceanWatch",
    "PER",
    (WARM_SEAS,),
    (
        MaximumBounds(kind="maximum_bounds", bounds=Bounds(memory_bytes=2 * MEBIBYTE, fuel=5_000_000, wall_ms=90_000)),
        Operators(kind="operators", forbidden=("SavannahOps",)),
    ),
)
HEALTH: Final = Member(
    "HealthGuard",
    "GBR",
    (CHOLERA, CRIMEA),
    (
        NoColocation(kind="no_colocation", authorised=()),
        Nodes(kind="nodes", forbidden=("virginia-1",)),
    ),
    verified_hardware=True,
)
PRICE: Final = Member(
    "PriceWatch",
    "USA",
    (PRICES,),
    (DomainBesideTrigger(kind="domain_beside_trigger", domain="Finance", trigger=DECLARED),),
)
HARVEST: Final = Member("HarvestPlan", "EU", (SEASONS,), (InCountry(kind="in_country"),), credential_ms=8 * HOUR_MS)

MEMBERS: Final = (NILE, OCEAN, HEALTH, PRICE, HARVEST)

PROGRAMS: Final = (
    Program(FLOOD, "flood", NILE.dao, "Flood year", ("Disaster::Flood@v1",)),
    Program(
        FLOOD_ALERT,
        "flood",
        NILE.dao,
        "Flood alert: three independent enclaves must agree",
        ("Disaster::Flood@v1",),
        (
            IndependentAttestations(
                kind="independent_attestations", count=3, distinct=("operator", "platform", "vendor")
            ),
        ),
    ),
    Program(
        FLOOD_WITNESSED,
        "flood",
        NILE.dao,
        "Flood alert that nine operators must witness",
        ("Disaster::Flood@v1",),
        (IndependentAttestations(kind="independent_attestations", count=9),),
    ),
    Program(DROUGHT, "drought", NILE.dao, "Drought", ("Disaster::Drought@v1", "Planning::Season@v1")),
    Program(EL_NINO, "elnino", OCEAN.dao, "El Nino", ("Disaster::ElNino@v1",)),
    Program(
        EL_NINO_ALERT,
        "elnino",
        OCEAN.dao,
        "El Nino alert: two independent enclaves must agree",
        ("Disaster::ElNino@v1",),
        (IndependentAttestations(kind="independent_attestations", count=2),),
    ),
    Program(INFLATION, "inflation", PRICE.dao, "Inflation", ("Finance::Inflation@v1",)),
    Program(OUTBREAK, "health_outbreak", HEALTH.dao, "Outbreak", ("Health::Outbreak@v1",)),
    Program(
        OUTBREAK_NAMED,
        "health_outbreak",
        HEALTH.dao,
        "Outbreak by patient: on verified hardware only, and no synthetic machine",
        ("Health::Outbreak@v1",),
        (Evidence(kind="evidence", classes=("vendor",), domain="Health"),),
    ),
)


def _node(
    node: str, operator: str, country: str, vendor: str, slots: int, admits: tuple[str, ...] | None = None
) -> NodeFacts:
    return NodeFacts(
        node=node,
        operator=operator,
        country=country,
        vendor=vendor,
        slots=slots,
        memory_bytes=slots * 8 * MEBIBYTE,
        admits=admits,
    )


NODES: Final = (
    _node("cairo-1", "NileCompute", "EGY", "Aster", 2),
    _node("frankfurt-1", "MainRechner", "DEU", "Corvus", 2),
    _node("lima-1", "AndesCloud", "PER", "Borealis", 2, (NILE.dao, OCEAN.dao)),
    _node("london-1", "ThamesData", "GBR", "Borealis", 1, (HEALTH.dao,)),
    _node("nairobi-1", "SavannahOps", "KEN", "Borealis", 1),
    _node("paris-1", "SeineHost", "FRA", "Aster", 1),
    _node("virginia-1", "PotomacCloud", "USA", "Corvus", 2, (OCEAN.dao, PRICE.dao)),
)
"""Each runs on a synthetic machine that says so: real formats under roots that this run makes (MACHINES)."""

RELIEF: Final = NodeFacts(
    node="reykjavik-1",
    operator="GeysirReserve",
    country="ISL",
    vendor="Borealis",
    pool="secondary",
    memory_bytes=256 * MEBIBYTE,
    slots=4,
    attributes=("wasm",),
)
"""A reserve: taken only when no primary node that fits has room."""

ROOT: Final = "root-admin"
ROOT_FILE: Final = "root.key.json"
JUDGES: Final = ("amina", "bassem")
"""Who re-authorises for the Nile's tenant: its policy asks for two persons of that role."""
RESOLVER: Final = "carla"
"""Who decides disputes before the root scope."""

MACHINES: Final[Mapping[str, Kind]] = MappingProxyType({"Aster": "snp", "Corvus": "sgx", "Borealis": "tdx"})
"""What each maker's machines give for evidence: a SEV-SNP report, an SGX or a TDX quote."""

RSA_BITS: Final = 2048
"""Of the synthetic AMD's keys, which take less time than AMD's own 4,096."""

DURATION_MS: Final = 5_000
FUEL_A_MS: Final = 10


def duration_ms(fuel: int) -> int:
    """Return how long an execution takes in virtual time: by its fuel alone, so that no machine changes the story."""
    return DURATION_MS + fuel // FUEL_A_MS


THRESHOLDS: Final[Mapping[str, str]] = MappingProxyType(
    {f"{j.clause} on {j.series}": j.why for member in MEMBERS for j in member.judgements}
)
