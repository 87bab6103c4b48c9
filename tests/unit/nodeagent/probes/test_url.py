"""URLs as Go's net/url reads and writes them: a specification's path, and what stands in the request line for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.probes.url import URLError, parse, request_url, resolve

TARGETS = [
    # as it is
    ("/", "/"),
    ("/healthz", "/healthz"),
    ("/a/b?c=d&e=f", "/a/b?c=d&e=f"),
    ("/a!b'c(d)*[e],;=:@&+$~", "/a!b'c(d)*[e],;=:@&+$~"),
    ("/%20", "/%20"),
    ("/a%2Fb", "/a%2Fb"),
    ("/a%2fb", "/a%2fb"),
    # made a path
    ("", "/"),
    ("x", "/x"),
    ("x?y", "/x?y"),
    ("?y", "/?y"),
    ("*", "/*"),
    # escaped
    ("/a b", "/a%20b"),
    ("/\u00fc/\u65e5", "/%C3%BC/%E6%97%A5"),
    ('/a"b<c>d^e`f{g|h}i\\\\', "/a%22b%3Cc%3Ed%5Ee%60f%7Bg%7Ch%7Di%5C%5C"),
    # escaped again, whole, when some of it has to be: what was escaped without need is not any more
    ("/a%20b c", "/a%20b%20c"),
    ("/a!b c", "/a%21b%20c"),
    ("/a%2Fb c", "/a/b%20c"),
    ("/%7Euser x", "/~user%20x"),
    # the query is nobody's business
    ("/a?b c=\u00fc%zz", "/a?b c=\u00fc%zz"),
    ("/a?", "/a?"),
    ("/a??", "/a??"),
    ("/a?b?c", "/a?b?c"),
    # a fragment stays at home
    ("/a#b", "/a"),
    ("/a#b?c", "/a"),
    ("/a?b#c", "/a?b"),
    ("#", "/"),
    # what is no URL is a plain path, question mark and all
    ("/%", "/%25"),
    ("/%zz?a=b", "/%25zz%3Fa=b"),
    ("/a#%zz", "/a%23%25zz"),
    ("/a\nb", "/a%0Ab"),
    ("/a\tb?c", "/a%09b%3Fc"),
    ("/a\x7f", "/a%7F"),
    ("1a:b", "/1a:b"),
    (":a", "/:a"),
    ("_:a", "/_:a"),
    # a path that looks like an address loses that: host and scheme are the specification's
    ("//elsewhere/x", "/x"),
    ("//elsewhere", "/"),
    ("///x", "///x"),
    ("//else where/x", "//else%20where/x"),
    ("//elsewhere:port/x", "//elsewhere:port/x"),
    ("//[::1/x", "//%5B::1/x"),
    ("//[1.2.3.4]/x", "//%5B1.2.3.4%5D/x"),
    ("http://elsewhere:9/x y?z", "/x%20y?z"),
    ("HTTPS://elsewhere", "/"),
    ("//us er@elsewhere/x", "//us%20er@elsewhere/x"),
]


@pytest.mark.parametrize(("path", "target"), TARGETS)
def test_the_request_target(path: str, target: str) -> None:
    """What stands in the request line, and it stays on the host that is to be asked."""
    url = request_url("http", "10.0.0.1", 80, path)
    assert url.request_uri == target
    assert (url.scheme, url.hostname, url.port) == ("http", "10.0.0.1", 80)


@given(st.text())
def test_any_path_at_all(path: str) -> None:
    """It makes a request line of one line, to the host that is to be asked, or it is told why not."""
    url = request_url("http", "10.0.0.1", 80, path)
    assert "\n" not in url.request_uri and "\r" not in url.request_uri
    assert url.host == b"10.0.0.1:80" or url.opaque
    assert " " not in url.request_uri.partition("?")[0] or url.opaque


def test_a_path_with_a_scheme_of_its_own() -> None:
    """Then there is no host to ask; who sends it finds out."""
    url = request_url("http", "10.0.0.1", 80, "health:8080")
    assert (str(url), url.host, url.opaque) == ("http:8080", b"", "8080")


def test_users() -> None:
    """A user in the path is sent along, and messages do not show the password."""
    url = request_url("https", "h", 443, "//me:p%40ss@elsewhere/x")
    assert (str(url), url.redacted) == ("https://me:p%40ss@h:443/x", "https://me:***@h:443/x")
    assert url.credentials == "Basic bWU6cEBzcw=="


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("fd00::1", "http://[fd00::1]:80/x"),
        ("fe80::1%eth0", "http://[fe80::1%25eth0]:80/x"),
        ("b\u00fccher", "http://b%C3%BCcher:80/x"),
        ("", "http://:80/x"),
    ],
)
def test_hosts(host: str, text: str) -> None:
    """IPv6 in brackets, whatever zone it has."""
    url = request_url("http", host, 80, "/x")
    assert (str(url), url.hostname) == (text, host)


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("a b", 'parse "http://a%20b:80/x": invalid URL escape "%20"'),
        ("a/b", 'parse "http://a%2Fb:80/x": invalid URL escape "%2F"'),
        ("[::1]", 'parse "http://[[::1]]:80/x": invalid host: ParseAddr("[::1]"): unable to parse IP'),
    ],
)
def test_hosts_that_are_none(host: str, message: str) -> None:
    """An error, in Go's words."""
    with pytest.raises(URLError) as caught:
        request_url("http", host, 80, "/x")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("/x", "http://h:1/x"),
        ("x", "http://h:1/a/x"),
        ("./x/.", "http://h:1/a/x/"),
        ("../x", "http://h:1/x"),
        ("../../../x", "http://h:1/x"),
        ("..", "http://h:1/"),
        ("?y", "http://h:1/a/b?y"),
        ("", "http://h:1/a/b?q"),
        ("#f", "http://h:1/a/b?q#f"),
        ("//other/x", "http://other/x"),
        ("https://other", "https://other"),
        ("mailto:x", "mailto:x"),
        ("/a%2Fb/../c", "http://h:1/c"),
    ],
)
def test_references(reference: str, found: str) -> None:
    """RFC 3986, section 5.4, with dots taken out."""
    assert str(resolve(parse("http://h:1/a/b?q"), parse(reference))) == found
