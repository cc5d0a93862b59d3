"""Jurisdictions: ISO 3166-1 alpha-3, or one of a closed list of supranational scopes.

Invariants:
- A jurisdiction is kept in upper case; the text that was given is kept beside it by the event.
- Only EU has a member list here; every other supranational scope must name countries in a policy.
"""

from typing import Annotated

from pydantic import AfterValidator

from domain.errors import MalformedError

SUPRANATIONAL = frozenset({"EU", "WFP", "ICAO", "UNDRR", "WHO", "INTL"})
"""Registered scopes that are not countries."""

EU_MEMBERS_VERSION = 1
EU_MEMBERS = frozenset(
    """
    AUT BEL BGR HRV CYP CZE DNK EST FIN FRA DEU GRC HUN IRL ITA LVA LTU LUX MLT NLD POL PRT ROU SVK SVN ESP SWE
    """.split()
)
"""Members of the European Union since 2020-02-01 (the versioned list that an in-country rule for EU reads)."""

COUNTRIES = frozenset(
    """
    ABW AFG AGO AIA ALA ALB AND ARE ARG ARM ASM ATA ATF ATG AUS AUT AZE BDI BEL BEN BES BFA BGD BGR BHR BHS BIH
    BLM BLR BLZ BMU BOL BRA BRB BRN BTN BVT BWA CAF CAN CCK CHE CHL CHN CIV CMR COD COG COK COL COM CPV CRI CUB
    CUW CXR CYM CYP CZE DEU DJI DMA DNK DOM DZA ECU EGY ERI ESH ESP EST ETH FIN FJI FLK FRA FRO FSM GAB GBR GEO
    GGY GHA GIB GIN GLP GMB GNB GNQ GRC GRD GRL GTM GUF GUM GUY HKG HMD HND HRV HTI HUN IDN IMN IND IOT IRL IRN
    IRQ ISL ISR ITA JAM JEY JOR JPN KAZ KEN KGZ KHM KIR KNA KOR KWT LAO LBN LBR LBY LCA LIE LKA LSO LTU LUX LVA
    MAC MAF MAR MCO MDA MDG MDV MEX MHL MKD MLI MLT MMR MNE MNG MNP MOZ MRT MSR MTQ MUS MWI MYS MYT NAM NCL NER
    NFK NGA NIC NIU NLD NOR NPL NRU NZL OMN PAK PAN PCN PER PHL PLW PNG POL PRI PRK PRT PRY PSE PYF QAT REU ROU
    RUS RWA SAU SDN SEN SGP SGS SHN SJM SLB SLE SLV SMR SOM SPM SRB SSD STP SUR SVK SVN SWE SWZ SXM SYC SYR TCA
    TCD TGO THA TJK TKL TKM TLS TON TTO TUN TUR TUV TWN TZA UGA UKR UMI URY USA UZB VAT VCT VEN VGB VIR VNM VUT
    WLF WSM YEM ZAF ZMB ZWE
    """.split()
)
"""ISO 3166-1 alpha-3 codes in force; a test compares them with a second source."""


def parse_country(text: str) -> str:
    """Return an upper-case ISO 3166-1 alpha-3 code.

    Raises:
        MalformedError: when it is none.
    """
    code = _upper(text)
    if code not in COUNTRIES:
        raise MalformedError(f"country {text[:16]!a} is not an ISO 3166-1 alpha-3 code, e.g. KEN or DEU")
    return code


def parse_jurisdiction(text: str) -> str:
    """Return an upper-case jurisdiction: a country or a registered supranational scope.

    Raises:
        MalformedError: when it is neither.
    """
    code = _upper(text)
    if code not in COUNTRIES and code not in SUPRANATIONAL:
        raise MalformedError(
            f"jurisdiction {text[:16]!a} is neither an ISO 3166-1 alpha-3 code "
            f"nor one of {', '.join(sorted(SUPRANATIONAL))}"
        )
    return code


def countries_within(jurisdiction: str) -> frozenset[str]:
    """Return the countries that count as inside a jurisdiction; empty for a scope without a member list."""
    if jurisdiction == "EU":
        return EU_MEMBERS
    return frozenset({jurisdiction}) if jurisdiction in COUNTRIES else frozenset()


def _upper(text: str) -> str:
    """Return ASCII text in upper case, other text as it is [case mapping turns a ligature into FIN, long s into S]."""
    code = text.strip()
    return code.upper() if code.isascii() else code


Country = Annotated[str, AfterValidator(parse_country)]
Jurisdiction = Annotated[str, AfterValidator(parse_jurisdiction)]
