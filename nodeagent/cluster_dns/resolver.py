"""A query in, a response out: from the zone where it knows the name, else from upstream. Source: RFC 1034, 1035, 2181, 6891."""

import logging
import random
import time
from collections.abc import Callable

from dnslib import AAAA, CLASS, CNAME, EDNS0, PTR, QTYPE, RCODE, RR, SOA, SRV, TXT, A, DNSError, DNSQuestion, DNSRecord
from dnslib.label import DNSLabelError

from nodeagent.cluster_dns.upstream import NoAnswer, Upstream
from nodeagent.cluster_dns.zone import Record, RecordType, Zone

log = logging.getLogger(__name__)

TTL_SECONDS = 5  # short: an endpoint that ended must not be asked for long
UDP_BYTES = 512  # without EDNS (RFC 1035 4.2.1)
EDNS_BYTES = 1232  # what passes everywhere without fragments
_MAX_ALIASES = 8
_MIN_QUERY_BYTES = 12
_TOLD_EVERY_SECONDS = 60.0


class Resolver:
    """Answers for the zone, relays the rest. `complete`: whether the zone has all names that it will have."""

    def __init__(
        self,
        zone: Zone,
        upstream: Upstream,
        complete: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._complete = complete
        self._zone = zone
        self._upstream = upstream
        self._failures = 0
        self._told_at = float("-inf")

    async def respond(self, wire: bytes, *, tcp: bool) -> bytes | None:
        """The response in wire format, within what the asker can take; None for what is no query."""
        try:
            query = DNSRecord.parse(wire)
        except (DNSError, ValueError, IndexError):
            return _format_error(wire)
        if query.header.qr:
            return None
        if query.header.opcode or len(query.questions) != 1:
            return _failed(query, RCODE.NOTIMP if query.header.opcode else RCODE.FORMERR)
        name = _plain(query.q.qname)
        if not self._zone.holds(name):
            return await self._relayed(query, wire, tcp=tcp)
        if query.q.qclass != CLASS.IN:
            return _failed(query, RCODE.REFUSED)
        if not self._complete():
            return _failed(query, RCODE.SERVFAIL)  # who asks again soon; NXDOMAIN would be believed
        try:
            return _fitted(await self._own(query, name), query, tcp=tcp)
        except (DNSError, DNSLabelError, ValueError) as error:
            self._tell(f"{name} has what no response can hold: {error}")
            return _failed(query, RCODE.SERVFAIL)

    async def _relayed(self, query: DNSRecord, wire: bytes, *, tcp: bool) -> bytes:
        try:
            return await self._upstream.ask(wire, tcp=tcp)
        except NoAnswer as error:
            self._tell(f"no answer to a question of a pod about a name outside the cluster: {error}")
            return _failed(query, RCODE.SERVFAIL)

    async def _own(self, query: DNSRecord, name: str) -> DNSRecord:
        """The response; aliases are followed, out of the zone too, as resolvers in pods do not."""
        response = query.reply(ra=1, aa=1)
        wanted = QTYPE[query.q.qtype]
        for _ in range(_MAX_ALIASES):
            answer = self._zone.answer(name, wanted)
            if not answer.exists:
                response.header.rcode = RCODE.NXDOMAIN
            for record in random.sample(answer.records, len(answer.records)):
                response.add_answer(_rr(name, record))
                if record.type is RecordType.SRV:
                    self._add_address(response, record.value)
            alias = next((record.value for record in answer.records if record.type is RecordType.CNAME), "")
            if not alias or wanted == RecordType.CNAME:
                break
            name = alias
            if not self._zone.holds(name):
                await self._add_foreign(response, name, query.q.qtype)
                break
        if not response.rr:
            response.add_auth(self._start_of_authority())
        return response

    def _add_address(self, response: DNSRecord, name: str) -> None:
        for kind in (RecordType.A, RecordType.AAAA):
            for record in self._zone.answer(name, kind).records:
                response.add_ar(_rr(name, record))

    async def _add_foreign(self, response: DNSRecord, name: str, qtype: int) -> None:
        question = DNSRecord(q=DNSQuestion(name, qtype))
        try:
            # over TCP: what is put into another response must be whole
            answer = DNSRecord.parse(await self._upstream.ask(question.pack(), tcp=True))
        except (NoAnswer, DNSError) as error:
            self._tell(f"no answer about {name}, which an ExternalName Service leads to: {error}")
            response.header.rcode = RCODE.SERVFAIL
            return
        response.header.rcode = answer.header.rcode
        for item in answer.rr:
            response.add_answer(item)

    def _tell(self, what: str) -> None:
        """Pods decide how often this happens, so it is said at most once a minute, with how often it was."""
        self._failures += 1
        now = self._clock()
        if now - self._told_at >= _TOLD_EVERY_SECONDS:
            log.warning("DNS: %d failed since this was told last; %s", self._failures, what)
            self._failures, self._told_at = 0, now

    def _start_of_authority(self) -> RR:
        """How long "there is none" may be kept (RFC 2308)."""
        domain = self._zone.domain
        times = (1, 7200, 1800, 86_400, TTL_SECONDS)
        return RR(domain, QTYPE.SOA, ttl=TTL_SECONDS, rdata=SOA(f"ns.dns.{domain}", f"hostmaster.{domain}", times))


def _plain(label: object) -> str:
    return str(label).lower().rstrip(".")


def _rr(name: str, record: Record) -> RR:
    match record.type:
        case RecordType.A:
            data = A(record.value)
        case RecordType.AAAA:
            data = AAAA(record.value)
        case RecordType.CNAME:
            data = CNAME(record.value)
        case RecordType.PTR:
            data = PTR(record.value)
        case RecordType.SRV:
            data = SRV(0, record.weight, record.port, record.value)
        case RecordType.TXT:
            data = TXT(record.value)
    return RR(name, getattr(QTYPE, record.type), ttl=TTL_SECONDS, rdata=data)


def _fitted(response: DNSRecord, query: DNSRecord, *, tcp: bool) -> bytes:
    """As much as fits; a response cut short says so, and the asker comes again over TCP."""
    edns = next((item for item in query.ar if item.rtype == QTYPE.OPT), None)
    if edns is not None:
        response.add_ar(EDNS0(udp_len=EDNS_BYTES))
    wire: bytes = response.pack()
    limit = min(EDNS_BYTES, max(UDP_BYTES, edns.edns_len)) if edns is not None else UDP_BYTES
    if tcp or len(wire) <= limit:
        return wire
    response.rr, response.auth, response.ar = [], [], [item for item in response.ar if item.rtype == QTYPE.OPT]
    response.header.tc = 1
    cut: bytes = response.pack()
    return cut


def _failed(query: DNSRecord, code: int) -> bytes:
    response = query.reply(ra=1, aa=0)
    response.header.rcode = code
    wire: bytes = response.pack()
    return wire


def _format_error(wire: bytes) -> bytes | None:
    """FORMERR for what has at least a header that says that it is a query."""
    if len(wire) < _MIN_QUERY_BYTES or wire[2] & 0x80:
        return None
    return wire[:2] + bytes([0x80, 0x80 | RCODE.FORMERR]) + bytes(8)
