"""Images: the store that the OCI engine keeps, who may pull what and with which logins, and what is deleted again."""

from pathlib import Path

from nodeagent.api.client import ApiClient
from nodeagent.api.events import Events, NodeEvents
from nodeagent.api.tokens import Tokens
from nodeagent.assembly.host import Host
from nodeagent.assembly.running import Scope
from nodeagent.assembly.runtimes import Runtimes
from nodeagent.config import Config
from nodeagent.errors import AgentStartError
from nodeagent.folders import Folders
from nodeagent.images.access import Access, AllowAll, PullRecords
from nodeagent.images.gc import GarbagePolicy, ImageGarbage, Store
from nodeagent.images.keyring import NodeKeyring
from nodeagent.images.manager import ImageManager
from nodeagent.images.providers.accounts import ApiAccounts, Identities
from nodeagent.images.providers.config import ProviderProblem, program_of, read_providers
from nodeagent.images.providers.keyring import NoProviders, PodKeyring, Provider, ProviderKeyring
from nodeagent.images.pulling import PullLimits
from nodeagent.images.verification import InvalidPattern, verification
from nodeagent.metrics.images import ImageMetrics
from nodeagent.pods.images import volume_images
from nodeagent.pods.manager_handle import ManagerHandle
from proto import cri_pb2 as cri
from runtimes.kube.duration import seconds
from runtimes.oci.images.registries import Registries, Registry
from runtimes.oci.images.skopeo import SkopeoSettings
from runtimes.oci.images.store import DiskImageStore, StoreSettings
from runtimes.registry import Runtime, RuntimeRegistry


async def start_image_store(scope: Scope, config: Config, folders: Folders) -> DiskImageStore:
    """The store that all OCI handlers share."""
    store = image_store(config, folders)
    await store.start()
    scope.stack.push_async_callback(store.stop)
    return store


async def start_access(scope: Scope, config: Config, folders: Folders) -> Access:
    """Who may use an image that is there already. Raises AgentStartError."""
    return pull_records(config)


async def start_image_manager(
    scope: Scope,
    config: Config,
    events: Events,
    client: ApiClient | None,
    tokens: Tokens,
    access: Access,
    metrics: ImageMetrics,
) -> ImageManager:
    """Pulls for pods."""
    return ImageManager(
        events,
        limits=pull_limits(config),
        node_keyring=NodeKeyring(config.options.root_dir),
        providers=credential_providers(config, client, tokens),
        access=access,
        observer=metrics,
    )


async def start_image_metrics(scope: Scope, host: Host) -> ImageMetrics:
    return ImageMetrics(host.metrics)


async def start_image_garbage(
    scope: Scope,
    config: Config,
    metrics: ImageMetrics,
    runtimes: Runtimes,
    events: Events,
    access: Access,
    pods: ManagerHandle,
) -> ImageGarbage:
    """Deletes what nobody has used for long, or what a full disk needs back."""
    garbage = ImageGarbage(
        image_stores(runtimes.registry),
        garbage_policy(config),
        NodeEvents(events, config.node_name),
        image_volumes=lambda: volume_images(pods.active_pods()),
        known=access.forget_all_but,
        removed=metrics.removed,
    )
    scope.loop(garbage.run, "image garbage")
    return garbage


def image_store(config: Config, folders: Folders) -> DiskImageStore:
    """Not started."""
    return DiskImageStore(folders.images, StoreSettings(skopeo=skopeo_settings(config), layers=folders.runtimes))


def skopeo_settings(config: Config) -> SkopeoSettings:
    """How registries are reached, and the node's own logins for mirrors."""
    entries = tuple(
        Registry(
            prefix=host,
            insecure=settings.insecure,
            blocked=settings.blocked,
            certs_dir=Path(settings.certsDir) if settings.certsDir else None,
            mirrors=tuple(settings.mirrors),
        )
        for host, settings in config.agent.registries.items()
    )
    logins = NodeKeyring(config.options.root_dir)

    def mirror_login(repository: str) -> cri.AuthConfig | None:
        best = next(iter(logins.lookup(repository)), None)
        return None if best is None else cri.AuthConfig(username=best.username, password=best.password)

    return SkopeoSettings(registries=Registries(entries=entries), mirror_login=mirror_login)


def pull_limits(config: Config) -> PullLimits:
    kubelet = config.kubelet
    parallel = 1 if kubelet.serializeImagePulls else kubelet.maxParallelImagePulls
    return PullLimits(max_parallel=parallel, qps=float(kubelet.registryPullQPS), burst=kubelet.registryBurst)


def pull_records(config: Config) -> Access:
    """Raises AgentStartError."""
    kubelet = config.kubelet
    if not kubelet.featureGates.get("KubeletEnsureSecretPulledImages", True):
        return AllowAll()
    try:
        rule = verification(
            kubelet.imagePullCredentialsVerificationPolicy, kubelet.preloadedImagesVerificationAllowlist
        )
    except InvalidPattern as error:
        raise AgentStartError(f"preloadedImagesVerificationAllowlist: {error}") from error
    return PullRecords(config.options.root_dir, rule)


def credential_providers(config: Config, client: ApiClient | None, tokens: Tokens) -> PodKeyring:
    """The programs that know logins. Raises AgentStartError: an agent with a wrong configuration does not start, as upstream."""
    path = config.options.image_credential_provider_config or config.agent.imageCredentialProviderConfig
    bin_dir = config.options.image_credential_provider_bin_dir or config.agent.imageCredentialProviderBinDir
    if not path or not bin_dir:
        if path or bin_dir:
            raise AgentStartError("imageCredentialProviderConfig and imageCredentialProviderBinDir go together")
        return NoProviders()
    identities = Identities(ApiAccounts(client) if client is not None else None, tokens)
    try:
        found = [(settings, program_of(settings, Path(bin_dir))) for settings in read_providers(Path(path))]
    except ProviderProblem as problem:
        raise AgentStartError(f"image credential providers: {problem}") from problem
    return ProviderKeyring([Provider(settings, program, identities) for settings, program in found])


def image_stores(registry: RuntimeRegistry) -> list[Store]:
    """Every image store of the node once, with the runtimes that live from it."""
    by_store: dict[int, list[Runtime]] = {}
    for runtime in registry:
        by_store.setdefault(id(runtime.images), []).append(runtime)
    return [
        Store(images=users[0].images, runtimes=tuple(runtime.service for runtime in users))
        for users in by_store.values()
    ]


def garbage_policy(config: Config) -> GarbagePolicy:
    kubelet = config.kubelet
    return GarbagePolicy(
        high_percent=kubelet.imageGCHighThresholdPercent,
        low_percent=kubelet.imageGCLowThresholdPercent,
        minimum_age_seconds=seconds(kubelet.imageMinimumGCAge),
        maximum_age_seconds=seconds(kubelet.imageMaximumGCAge),
    )
