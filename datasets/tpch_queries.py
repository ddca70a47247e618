"""The 22 queries of TPC-H in the words of the specification, with its validation parameters or others that it allows.

Source: TPC Benchmark H, Standard Specification, revision 3.0.1, section 2.4. Query 15 is the approved variant with a common
table expression in place of a view (appendix B).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

REGIONS = {
    "AFRICA": ("ALGERIA", "ETHIOPIA", "KENYA", "MOROCCO", "MOZAMBIQUE"),
    "AMERICA": ("ARGENTINA", "BRAZIL", "CANADA", "PERU", "UNITED STATES"),
    "ASIA": ("INDIA", "INDONESIA", "JAPAN", "CHINA", "VIETNAM"),
    "EUROPE": ("FRANCE", "GERMANY", "ROMANIA", "RUSSIA", "UNITED KINGDOM"),
    "MIDDLE EAST": ("EGYPT", "IRAN", "IRAQ", "JORDAN", "SAUDI ARABIA"),
}
NATIONS = tuple(nation for nations in REGIONS.values() for nation in nations)
SEGMENTS = ("AUTOMOBILE", "BUILDING", "FURNITURE", "MACHINERY", "HOUSEHOLD")
TYPES = (
    ("STANDARD", "SMALL", "MEDIUM", "LARGE", "ECONOMY", "PROMO"),
    ("ANODIZED", "BURNISHED", "PLATED", "POLISHED", "BRUSHED"),
    ("TIN", "NICKEL", "BRASS", "STEEL", "COPPER"),
)
CONTAINERS = (("SM", "LG", "MED", "JUMBO", "WRAP"), ("CASE", "BOX", "BAG", "JAR", "PKG", "PACK", "CAN", "DRUM"))
SHIP_MODES = ("REG AIR", "AIR", "RAIL", "SHIP", "TRUCK", "MAIL", "FOB")
COLORS = (
    "almond", "antique", "aquamarine", "azure", "beige", "bisque", "black", "blanched", "blue", "blush", "brown", "burlywood",
    "burnished", "chartreuse", "chiffon", "chocolate", "coral", "cornflower", "cornsilk", "cream", "cyan", "dark", "deep",
    "dim", "dodger", "drab", "firebrick", "floral", "forest", "frosted", "gainsboro", "ghost", "goldenrod", "green", "grey",
    "honeydew", "hot", "indian", "ivory", "khaki", "lace", "lavender", "lawn", "lemon", "light", "lime", "linen", "magenta",
    "maroon", "medium", "metallic", "midnight", "mint", "misty", "moccasin", "navajo", "navy", "olive", "orange", "orchid",
    "pale", "papaya", "peach", "peru", "pink", "plum", "powder", "puff", "purple", "red", "rose", "rosy", "royal", "saddle",
    "salmon", "sandy", "seashell", "sienna", "sky", "slate", "smoke", "snow", "spring", "steel", "tan", "thistle", "tomato",
    "turquoise", "violet", "wheat", "white", "yellow",
)  # fmt: skip


@dataclass(frozen=True)
class TpchQuery:
    """One query: its text with :1, :2 ... for the parameters, their validation values, and a function that draws others."""

    number: int
    template: str
    validation: tuple[str, ...]
    draw: Callable[[random.Random], tuple[str, ...]]

    def text(self, parameters: tuple[str, ...] | None = None) -> str:
        """The query with these parameters, else with those of the validation."""
        chosen = self.validation if parameters is None else parameters
        text = self.template
        for number in range(len(chosen), 0, -1):
            text = text.replace(f":{number}", chosen[number - 1])
        return text

    def random_text(self, generator: random.Random) -> str:
        """The query with parameters drawn as the specification says."""
        return self.text(self.draw(generator))


def month(generator: random.Random, first: tuple[int, int], last: tuple[int, int]) -> str:
    """The first day of a month between two months, both included."""
    number = generator.randint(first[0] * 12 + first[1] - 1, last[0] * 12 + last[1] - 1)
    return f"{number // 12}-{number % 12 + 1:02}-01"


def year(generator: random.Random) -> str:
    return f"{generator.randint(1993, 1997)}-01-01"


def brand(generator: random.Random) -> str:
    return f"Brand#{generator.randint(1, 5)}{generator.randint(1, 5)}"


def several(generator: random.Random, values: range, count: int) -> tuple[str, ...]:
    return tuple(map(str, generator.sample(values, count)))


def nation_of_region(generator: random.Random) -> tuple[str, str, str]:
    region = generator.choice(list(REGIONS))
    return generator.choice(REGIONS[region]), region, " ".join(map(generator.choice, TYPES))


_ALL = (
    TpchQuery(
        1,
        """\
select
    l_returnflag,
    l_linestatus,
    sum(l_quantity) as sum_qty,
    sum(l_extendedprice) as sum_base_price,
    sum(l_extendedprice * (1 - l_discount)) as sum_disc_price,
    sum(l_extendedprice * (1 - l_discount) * (1 + l_tax)) as sum_charge,
    avg(l_quantity) as avg_qty,
    avg(l_extendedprice) as avg_price,
    avg(l_discount) as avg_disc,
    count(*) as count_order
from
    lineitem
where
    l_shipdate <= date '1998-12-01' - interval ':1' day
group by
    l_returnflag,
    l_linestatus
order by
    l_returnflag,
    l_linestatus""",
        ("90",),
        lambda g: (str(g.randint(60, 120)),),
    ),
    TpchQuery(
        2,
        """\
select
    s_acctbal,
    s_name,
    n_name,
    p_partkey,
    p_mfgr,
    s_address,
    s_phone,
    s_comment
from
    part,
    supplier,
    partsupp,
    nation,
    region
where
    p_partkey = ps_partkey
    and s_suppkey = ps_suppkey
    and p_size = :1
    and p_type like '%:2'
    and s_nationkey = n_nationkey
    and n_regionkey = r_regionkey
    and r_name = ':3'
    and ps_supplycost = (
        select
            min(ps_supplycost)
        from
            partsupp,
            supplier,
            nation,
            region
        where
            p_partkey = ps_partkey
            and s_suppkey = ps_suppkey
            and s_nationkey = n_nationkey
            and n_regionkey = r_regionkey
            and r_name = ':3'
    )
order by
    s_acctbal desc,
    n_name,
    s_name,
    p_partkey
limit 100""",
        ("15", "BRASS", "EUROPE"),
        lambda g: (str(g.randint(1, 50)), g.choice(TYPES[2]), g.choice(list(REGIONS))),
    ),
    TpchQuery(
        3,
        """\
select
    l_orderkey,
    sum(l_extendedprice * (1 - l_discount)) as revenue,
    o_orderdate,
    o_shippriority
from
    customer,
    orders,
    lineitem
where
    c_mktsegment = ':1'
    and c_custkey = o_custkey
    and l_orderkey = o_orderkey
    and o_orderdate < date ':2'
    and l_shipdate > date ':2'
group by
    l_orderkey,
    o_orderdate,
    o_shippriority
order by
    revenue desc,
    o_orderdate
limit 10""",
        ("BUILDING", "1995-03-15"),
        lambda g: (g.choice(SEGMENTS), f"1995-03-{g.randint(1, 31):02}"),
    ),
    TpchQuery(
        4,
        """\
select
    o_orderpriority,
    count(*) as order_count
from
    orders
where
    o_orderdate >= date ':1'
    and o_orderdate < date ':1' + interval '3' month
    and exists (
        select
            *
        from
            lineitem
        where
            l_orderkey = o_orderkey
            and l_commitdate < l_receiptdate
    )
group by
    o_orderpriority
order by
    o_orderpriority""",
        ("1993-07-01",),
        lambda g: (month(g, (1993, 1), (1997, 10)),),
    ),
    TpchQuery(
        5,
        """\
select
    n_name,
    sum(l_extendedprice * (1 - l_discount)) as revenue
from
    customer,
    orders,
    lineitem,
    supplier,
    nation,
    region
where
    c_custkey = o_custkey
    and l_orderkey = o_orderkey
    and l_suppkey = s_suppkey
    and c_nationkey = s_nationkey
    and s_nationkey = n_nationkey
    and n_regionkey = r_regionkey
    and r_name = ':1'
    and o_orderdate >= date ':2'
    and o_orderdate < date ':2' + interval '1' year
group by
    n_name
order by
    revenue desc""",
        ("ASIA", "1994-01-01"),
        lambda g: (g.choice(list(REGIONS)), year(g)),
    ),
    TpchQuery(
        6,
        """\
select
    sum(l_extendedprice * l_discount) as revenue
from
    lineitem
where
    l_shipdate >= date ':1'
    and l_shipdate < date ':1' + interval '1' year
    and l_discount between :2 - 0.01 and :2 + 0.01
    and l_quantity < :3""",
        ("1994-01-01", "0.06", "24"),
        lambda g: (year(g), f"0.0{g.randint(2, 9)}", str(g.randint(24, 25))),
    ),
    TpchQuery(
        7,
        """\
select
    supp_nation,
    cust_nation,
    l_year,
    sum(volume) as revenue
from
    (
        select
            n1.n_name as supp_nation,
            n2.n_name as cust_nation,
            extract(year from l_shipdate) as l_year,
            l_extendedprice * (1 - l_discount) as volume
        from
            supplier,
            lineitem,
            orders,
            customer,
            nation n1,
            nation n2
        where
            s_suppkey = l_suppkey
            and o_orderkey = l_orderkey
            and c_custkey = o_custkey
            and s_nationkey = n1.n_nationkey
            and c_nationkey = n2.n_nationkey
            and (
                (n1.n_name = ':1' and n2.n_name = ':2')
                or (n1.n_name = ':2' and n2.n_name = ':1')
            )
            and l_shipdate between date '1995-01-01' and date '1996-12-31'
    ) as shipping
group by
    supp_nation,
    cust_nation,
    l_year
order by
    supp_nation,
    cust_nation,
    l_year""",
        ("FRANCE", "GERMANY"),
        lambda g: tuple(g.sample(NATIONS, 2)),
    ),
    TpchQuery(
        8,
        """\
select
    o_year,
    sum(case
        when nation = ':1' then volume
        else 0
    end) / sum(volume) as mkt_share
from
    (
        select
            extract(year from o_orderdate) as o_year,
            l_extendedprice * (1 - l_discount) as volume,
            n2.n_name as nation
        from
            part,
            supplier,
            lineitem,
            orders,
            customer,
            nation n1,
            nation n2,
            region
        where
            p_partkey = l_partkey
            and s_suppkey = l_suppkey
            and l_orderkey = o_orderkey
            and o_custkey = c_custkey
            and c_nationkey = n1.n_nationkey
            and n1.n_regionkey = r_regionkey
            and r_name = ':2'
            and s_nationkey = n2.n_nationkey
            and o_orderdate between date '1995-01-01' and date '1996-12-31'
            and p_type = ':3'
    ) as all_nations
group by
    o_year
order by
    o_year""",
        ("BRAZIL", "AMERICA", "ECONOMY ANODIZED STEEL"),
        nation_of_region,
    ),
    TpchQuery(
        9,
        """\
select
    nation,
    o_year,
    sum(amount) as sum_profit
from
    (
        select
            n_name as nation,
            extract(year from o_orderdate) as o_year,
            l_extendedprice * (1 - l_discount) - ps_supplycost * l_quantity as amount
        from
            part,
            supplier,
            lineitem,
            partsupp,
            orders,
            nation
        where
            s_suppkey = l_suppkey
            and ps_suppkey = l_suppkey
            and ps_partkey = l_partkey
            and p_partkey = l_partkey
            and o_orderkey = l_orderkey
            and s_nationkey = n_nationkey
            and p_name like '%:1%'
    ) as profit
group by
    nation,
    o_year
order by
    nation,
    o_year desc""",
        ("green",),
        lambda g: (g.choice(COLORS),),
    ),
    TpchQuery(
        10,
        """\
select
    c_custkey,
    c_name,
    sum(l_extendedprice * (1 - l_discount)) as revenue,
    c_acctbal,
    n_name,
    c_address,
    c_phone,
    c_comment
from
    customer,
    orders,
    lineitem,
    nation
where
    c_custkey = o_custkey
    and l_orderkey = o_orderkey
    and o_orderdate >= date ':1'
    and o_orderdate < date ':1' + interval '3' month
    and l_returnflag = 'R'
    and c_nationkey = n_nationkey
group by
    c_custkey,
    c_name,
    c_acctbal,
    c_phone,
    n_name,
    c_address,
    c_comment
order by
    revenue desc
limit 20""",
        ("1993-10-01",),
        lambda g: (month(g, (1993, 2), (1995, 1)),),
    ),
    TpchQuery(
        11,
        """\
select
    ps_partkey,
    sum(ps_supplycost * ps_availqty) as value
from
    partsupp,
    supplier,
    nation
where
    ps_suppkey = s_suppkey
    and s_nationkey = n_nationkey
    and n_name = ':1'
group by
    ps_partkey having
        sum(ps_supplycost * ps_availqty) > (
            select
                sum(ps_supplycost * ps_availqty) * :2
            from
                partsupp,
                supplier,
                nation
            where
                ps_suppkey = s_suppkey
                and s_nationkey = n_nationkey
                and n_name = ':1'
        )
order by
    value desc""",
        ("GERMANY", "0.0001"),
        lambda g: (g.choice(NATIONS), "0.0001"),
    ),
    TpchQuery(
        12,
        """\
select
    l_shipmode,
    sum(case
        when o_orderpriority = '1-URGENT'
            or o_orderpriority = '2-HIGH'
            then 1
        else 0
    end) as high_line_count,
    sum(case
        when o_orderpriority <> '1-URGENT'
            and o_orderpriority <> '2-HIGH'
            then 1
        else 0
    end) as low_line_count
from
    orders,
    lineitem
where
    o_orderkey = l_orderkey
    and l_shipmode in (':1', ':2')
    and l_commitdate < l_receiptdate
    and l_shipdate < l_commitdate
    and l_receiptdate >= date ':3'
    and l_receiptdate < date ':3' + interval '1' year
group by
    l_shipmode
order by
    l_shipmode""",
        ("MAIL", "SHIP", "1994-01-01"),
        lambda g: (*g.sample(SHIP_MODES, 2), year(g)),
    ),
    TpchQuery(
        13,
        """\
select
    c_count,
    count(*) as custdist
from
    (
        select
            c_custkey,
            count(o_orderkey)
        from
            customer left outer join orders on
                c_custkey = o_custkey
                and o_comment not like '%:1%:2%'
        group by
            c_custkey
    ) as c_orders (c_custkey, c_count)
group by
    c_count
order by
    custdist desc,
    c_count desc""",
        ("special", "requests"),
        lambda g: (
            g.choice(("special", "pending", "unusual", "express")),
            g.choice(("packages", "requests", "accounts", "deposits")),
        ),
    ),
    TpchQuery(
        14,
        """\
select
    100.00 * sum(case
        when p_type like 'PROMO%'
            then l_extendedprice * (1 - l_discount)
        else 0
    end) / sum(l_extendedprice * (1 - l_discount)) as promo_revenue
from
    lineitem,
    part
where
    l_partkey = p_partkey
    and l_shipdate >= date ':1'
    and l_shipdate < date ':1' + interval '1' month""",
        ("1995-09-01",),
        lambda g: (month(g, (1993, 1), (1997, 12)),),
    ),
    TpchQuery(
        15,
        """\
with revenue (supplier_no, total_revenue) as (
    select
        l_suppkey,
        sum(l_extendedprice * (1 - l_discount))
    from
        lineitem
    where
        l_shipdate >= date ':1'
        and l_shipdate < date ':1' + interval '3' month
    group by
        l_suppkey
)
select
    s_suppkey,
    s_name,
    s_address,
    s_phone,
    total_revenue
from
    supplier,
    revenue
where
    s_suppkey = supplier_no
    and total_revenue = (
        select
            max(total_revenue)
        from
            revenue
    )
order by
    s_suppkey""",
        ("1996-01-01",),
        lambda g: (month(g, (1993, 1), (1997, 10)),),
    ),
    TpchQuery(
        16,
        """\
select
    p_brand,
    p_type,
    p_size,
    count(distinct ps_suppkey) as supplier_cnt
from
    partsupp,
    part
where
    p_partkey = ps_partkey
    and p_brand <> ':1'
    and p_type not like ':2%'
    and p_size in (:3, :4, :5, :6, :7, :8, :9, :10)
    and ps_suppkey not in (
        select
            s_suppkey
        from
            supplier
        where
            s_comment like '%Customer%Complaints%'
    )
group by
    p_brand,
    p_type,
    p_size
order by
    supplier_cnt desc,
    p_brand,
    p_type,
    p_size""",
        ("Brand#45", "MEDIUM POLISHED", "49", "14", "23", "45", "19", "3", "36", "9"),
        lambda g: (brand(g), f"{g.choice(TYPES[0])} {g.choice(TYPES[1])}", *several(g, range(1, 51), 8)),
    ),
    TpchQuery(
        17,
        """\
select
    sum(l_extendedprice) / 7.0 as avg_yearly
from
    lineitem,
    part
where
    p_partkey = l_partkey
    and p_brand = ':1'
    and p_container = ':2'
    and l_quantity < (
        select
            0.2 * avg(l_quantity)
        from
            lineitem
        where
            l_partkey = p_partkey
    )""",
        ("Brand#23", "MED BOX"),
        lambda g: (brand(g), " ".join(map(g.choice, CONTAINERS))),
    ),
    TpchQuery(
        18,
        """\
select
    c_name,
    c_custkey,
    o_orderkey,
    o_orderdate,
    o_totalprice,
    sum(l_quantity)
from
    customer,
    orders,
    lineitem
where
    o_orderkey in (
        select
            l_orderkey
        from
            lineitem
        group by
            l_orderkey having
                sum(l_quantity) > :1
    )
    and c_custkey = o_custkey
    and o_orderkey = l_orderkey
group by
    c_name,
    c_custkey,
    o_orderkey,
    o_orderdate,
    o_totalprice
order by
    o_totalprice desc,
    o_orderdate
limit 100""",
        ("300",),
        lambda g: (str(g.randint(312, 315)),),
    ),
    TpchQuery(
        19,
        """\
select
    sum(l_extendedprice* (1 - l_discount)) as revenue
from
    lineitem,
    part
where
    (
        p_partkey = l_partkey
        and p_brand = ':4'
        and p_container in ('SM CASE', 'SM BOX', 'SM PACK', 'SM PKG')
        and l_quantity >= :1 and l_quantity <= :1 + 10
        and p_size between 1 and 5
        and l_shipmode in ('AIR', 'AIR REG')
        and l_shipinstruct = 'DELIVER IN PERSON'
    )
    or
    (
        p_partkey = l_partkey
        and p_brand = ':5'
        and p_container in ('MED BAG', 'MED BOX', 'MED PKG', 'MED PACK')
        and l_quantity >= :2 and l_quantity <= :2 + 10
        and p_size between 1 and 10
        and l_shipmode in ('AIR', 'AIR REG')
        and l_shipinstruct = 'DELIVER IN PERSON'
    )
    or
    (
        p_partkey = l_partkey
        and p_brand = ':6'
        and p_container in ('LG CASE', 'LG BOX', 'LG PACK', 'LG PKG')
        and l_quantity >= :3 and l_quantity <= :3 + 10
        and p_size between 1 and 15
        and l_shipmode in ('AIR', 'AIR REG')
        and l_shipinstruct = 'DELIVER IN PERSON'
    )""",
        ("1", "10", "20", "Brand#12", "Brand#23", "Brand#34"),
        lambda g: (str(g.randint(1, 10)), str(g.randint(10, 20)), str(g.randint(20, 30)), brand(g), brand(g), brand(g)),
    ),
    TpchQuery(
        20,
        """\
select
    s_name,
    s_address
from
    supplier,
    nation
where
    s_suppkey in (
        select
            ps_suppkey
        from
            partsupp
        where
            ps_partkey in (
                select
                    p_partkey
                from
                    part
                where
                    p_name like ':1%'
            )
            and ps_availqty > (
                select
                    0.5 * sum(l_quantity)
                from
                    lineitem
                where
                    l_partkey = ps_partkey
                    and l_suppkey = ps_suppkey
                    and l_shipdate >= date ':2'
                    and l_shipdate < date ':2' + interval '1' year
            )
    )
    and s_nationkey = n_nationkey
    and n_name = ':3'
order by
    s_name""",
        ("forest", "1994-01-01", "CANADA"),
        lambda g: (g.choice(COLORS), year(g), g.choice(NATIONS)),
    ),
    TpchQuery(
        21,
        """\
select
    s_name,
    count(*) as numwait
from
    supplier,
    lineitem l1,
    orders,
    nation
where
    s_suppkey = l1.l_suppkey
    and o_orderkey = l1.l_orderkey
    and o_orderstatus = 'F'
    and l1.l_receiptdate > l1.l_commitdate
    and exists (
        select
            *
        from
            lineitem l2
        where
            l2.l_orderkey = l1.l_orderkey
            and l2.l_suppkey <> l1.l_suppkey
    )
    and not exists (
        select
            *
        from
            lineitem l3
        where
            l3.l_orderkey = l1.l_orderkey
            and l3.l_suppkey <> l1.l_suppkey
            and l3.l_receiptdate > l3.l_commitdate
    )
    and s_nationkey = n_nationkey
    and n_name = ':1'
group by
    s_name
order by
    numwait desc,
    s_name
limit 100""",
        ("SAUDI ARABIA",),
        lambda g: (g.choice(NATIONS),),
    ),
    TpchQuery(
        22,
        """\
select
    cntrycode,
    count(*) as numcust,
    sum(c_acctbal) as totacctbal
from
    (
        select
            substring(c_phone from 1 for 2) as cntrycode,
            c_acctbal
        from
            customer
        where
            substring(c_phone from 1 for 2) in
                (':1', ':2', ':3', ':4', ':5', ':6', ':7')
            and c_acctbal > (
                select
                    avg(c_acctbal)
                from
                    customer
                where
                    c_acctbal > 0.00
                    and substring(c_phone from 1 for 2) in
                        (':1', ':2', ':3', ':4', ':5', ':6', ':7')
            )
            and not exists (
                select
                    *
                from
                    orders
                where
                    o_custkey = c_custkey
            )
    ) as custsale
group by
    cntrycode
order by
    cntrycode""",
        ("13", "31", "23", "29", "30", "18", "17"),
        lambda g: several(g, range(10, 35), 7),
    ),
)

TPCH_QUERIES = {query.number: query for query in _ALL}
