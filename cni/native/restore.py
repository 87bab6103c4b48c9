"""After a restart: what was attached is as it was made, also where somebody has flushed the host's packet filter meanwhile."""

import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cni import config as configs
from cni import result as results
from cni.cache import CachedAttachment, ResultCache
from cni.errors import CNIError
from cni.native import request
from cni.native.failure import Failure
from cni.native.plugin import Plugin
from cni.native.request import TYPE, Request
from cni.network import plugin_request

log = logging.getLogger(__name__)


def restore(plugin: Plugin, cache_dir: Path) -> None:
    """Of every recorded attachment. One that cannot be restored is told, and waits for its CHECK or DEL. Blocks."""
    wanted = [item for cached in ResultCache(cache_dir).all() for item in _requests(cached)]
    try:
        for failed, error in plugin.restore(wanted) if wanted else ():
            log.warning("network %s: rules of %s: %s", failed.network, failed.container_id, error)
    except Failure as error:
        log.warning("the rules of the pods that were there before cannot be looked at: %s", error)


def _requests(cached: CachedAttachment) -> Iterator[Request]:
    """What each native plugin of the attachment's chain would be asked with a CHECK."""
    with suppress(CNIError, Failure):
        config = configs.parse(cached.config)
        previous = results.decode(cached.result, config.cni_version)
        environment = {
            "CNI_COMMAND": "DEL",  # of which the namespace may be gone
            "CNI_CONTAINERID": cached.container_id,
            "CNI_NETNS": cached.netns,
            "CNI_IFNAME": cached.ifname,
        }
        for plugin in config.plugins:
            if plugin.type == TYPE:
                yield request.parse(environment, plugin_request(config, plugin, cached.capabilities, previous))
