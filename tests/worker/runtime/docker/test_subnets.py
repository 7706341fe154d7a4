from services.worker.runtime.docker.subnets import host_address, list_free_subnets, parse_routes

HEADER = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"


def route_row(interface: str, destination: str, mask: str) -> str:
    return f"{interface}\t{destination}\t00000000\t0001\t0\t0\t0\t{mask}\t0\t0\t0\n"


def test_an_app_gets_nearly_always_the_same_subnet() -> None:
    first = next(list_free_subnets("10.210.0.0/16", [], "scans"))
    assert next(list_free_subnets("10.210.0.0/16", [], "scans")) == first
    assert next(list_free_subnets("10.210.0.0/16", [first], "scans")) != first


def test_what_overlaps_a_used_subnet_is_passed_over() -> None:
    assert list(list_free_subnets("10.0.0.0/25", ["10.0.0.64/28"], "a")) == ["10.0.0.0/26"]
    assert list(list_free_subnets("10.0.0.0/25", ["10.0.0.0/8"], "a")) == []
    assert list(list_free_subnets("10.0.0.0/26", ["fd00::/8"], "a")) == ["10.0.0.0/26"]


def test_the_hosts_routes_are_read_and_the_default_route_takes_nothing() -> None:
    table = HEADER + route_row("eth0", "00000000", "00000000") + route_row("br-1", "C090D20A", "C0FFFFFF")
    assert parse_routes(table) == ["10.210.144.192/26"]
    assert parse_routes("") == []


def test_the_hosts_address_is_the_first_one_unless_said() -> None:
    assert host_address({"Subnet": "10.211.172.192/26"}) == "10.211.172.193"
    assert host_address({"Subnet": "10.211.172.192/26", "Gateway": "10.211.172.200"}) == "10.211.172.200"
