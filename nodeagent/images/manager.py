"""The agent's images: what a container or an image volume needs is in its runtime's store, or there is a reason why not.

Source: docs/facts/pod-lifecycle.md 5.2 (reasons and messages) and 13 (policy, credentials, events).
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lightkube.models.core_v1 import Secret

from nodeagent.api.events import Events
from nodeagent.images.access import Access, AllowAll
from nodeagent.images.backoff import PullBackoff
from nodeagent.images.keyring import Credential, InvalidCredentials, JoinedKeyring, Keyring, keyring_of_secrets
from nodeagent.images.providers.keyring import NoProviders, PodKeyring
from nodeagent.images.pulling import Puller, PullError, PullLimits, describe
from nodeagent.podspec.pod import AgentPod
from proto import cri_pb2 as cri
from runtimes.contract import ImageService
from runtimes.errors import RuntimeFault
from runtimes.kube.duration import go_duration, whole_milliseconds
from runtimes.kube.go_quote import go_quote
from runtimes.kube.image_reference import InvalidReference, Reference, parse

ALWAYS, IF_NOT_PRESENT, NEVER = "Always", "IfNotPresent", "Never"
NORMAL, WARNING = "Normal", "Warning"

# Errors that a runtime marks by their first word, and how they are reported.
_MARKED = {
    "RegistryUnavailable": "the registry is unavailable",
    "SignatureValidationFailed": "the signature validation failed",
}


class ImageFailure(Exception):
    """The image cannot be used now: the waiting reason and message of the container.

    `retry_after_seconds`: when it makes sense to try again, for a pull that failed or is held back; else None. The events
    of the image have been sent; the `Failed` event with `Error: <reason>` is the container's and is left to the caller.
    """

    def __init__(self, reason: str, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsuredImage:
    """`image_ref` names the image for CreateContainer; `image` is what the runtime says of it (user, digests, size)."""

    image_ref: str
    image: cri.Image


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """An image as a pod's container or image volume names it. `pull_policy` empty: the API's default for the name.

    `field_path`: of the container, for events; empty for image volumes, whose events are the pod's.
    """

    image: str
    pull_policy: str = ""
    field_path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageTarget:
    """Where the image is needed. `runtime_handler` and `sandbox_config` are passed on to the runtime."""

    service: ImageService
    runtime_handler: str = ""
    sandbox_config: cri.PodSandboxConfig | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    pod: AgentPod
    wanted: ImageRequest
    place: ImageTarget
    name: Reference
    image: str  # with a tag
    credentials: "_Credentials"
    specification: cri.ImageSpec = field(default_factory=cri.ImageSpec)

    @property
    def backoff_key(self) -> str:
        return f"{self.pod.uid}_{self.image}"


class _Credentials:
    """What a pod can offer for an image, looked up when somebody asks first: providers are programs, which take time."""

    def __init__(self, find: Callable[[], Awaitable[Sequence[Credential]]]) -> None:
        self._find = find
        self._found: Sequence[Credential] | None = None

    async def get(self) -> Sequence[Credential]:
        """Best first. Raises InvalidCredentials."""
        if self._found is None:
            self._found = await self._find()
        return self._found

    async def usable(self) -> Sequence[Credential]:
        """The same; none when a secret cannot be read."""
        try:
            return await self.get()
        except InvalidCredentials:
            return ()


class NoKeyring:
    """A node without logins of its own."""

    def lookup(self, repository: str) -> Sequence[Credential]:
        return ()


class ImageObserver(Protocol):
    """Hears of images, on the event loop; for metrics."""

    def ensured(self, policy: str, *, present: bool | None, pull: bool) -> None:
        """One was asked for. `present` None: nobody looked."""
        ...

    def pulled(self, seconds: float, size_bytes: int) -> None: ...


class Unobserved:
    """Nobody hears of them."""

    def ensured(self, policy: str, *, present: bool | None, pull: bool) -> None:
        return

    def pulled(self, seconds: float, size_bytes: int) -> None:
        return


class ImageManager:
    """One for the node, over the image services of all its runtimes. All calls may run side by side."""

    def __init__(
        self,
        events: Events,
        *,
        limits: PullLimits | None = None,
        node_keyring: Keyring | None = None,
        providers: PodKeyring | None = None,
        access: Access | None = None,
        observer: ImageObserver | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._events = events
        self._puller = Puller(limits or PullLimits(), clock)
        self._node_keyring = node_keyring or NoKeyring()
        self._providers = providers or NoProviders()
        self._access = access or AllowAll()
        self._observer = observer or Unobserved()
        self._backoff = PullBackoff(clock)
        self._clock = clock

    async def ensure_image(
        self, pod: AgentPod, wanted: ImageRequest, place: ImageTarget, pull_secrets: Sequence[Secret] = ()
    ) -> EnsuredImage:
        """Have the image in the place's store and say what it is. Raises ImageFailure."""
        job = self._job(pod, wanted, place, pull_secrets)
        policy = wanted.pull_policy or default_policy(wanted.image)
        present = None if policy == ALWAYS else await self._present(job)
        usable = present is not None and await self._may_use(job, present.id)
        looked = None if policy == ALWAYS else present is not None
        self._observer.ensured(policy, present=looked, pull=not usable and policy != NEVER)
        if present is not None and usable:
            suffix = " and can be accessed by the pod" if self._access.checks else ""
            self._event(
                job, NORMAL, "Pulled", f"Container image {go_quote(wanted.image)} already present on machine{suffix}"
            )
            return EnsuredImage(image_ref=present.id, image=present)
        if policy == NEVER:
            message = f"Container image {go_quote(wanted.image)} is not present with pull policy of Never"
            self._event(job, WARNING, "ErrImageNeverPull", message)
            raise ImageFailure("ErrImageNeverPull", message)
        return await self._pull(job)

    def _job(self, pod: AgentPod, wanted: ImageRequest, place: ImageTarget, pull_secrets: Sequence[Secret]) -> _Job:
        try:
            name = parse(wanted.image)
        except InvalidReference as error:
            message = f"Failed to apply default image tag {go_quote(wanted.image)}: {error}"
            self._events.event(pod, WARNING, "InspectFailed", message, field_path=wanted.field_path)
            raise ImageFailure("InvalidImageName", message) from None
        image = wanted.image
        if name.tag and not image.endswith(f":{name.tag}"):
            image = f"{image}:{name.tag}"
        specification = cri.ImageSpec(image=image, annotations=pod.annotations, runtime_handler=place.runtime_handler)
        return _Job(
            pod=pod,
            wanted=wanted,
            place=place,
            name=name,
            image=image,
            credentials=_Credentials(lambda: self._credentials(name.repository, pod, pull_secrets)),
            specification=specification,
        )

    async def _credentials(
        self, repository: str, pod: AgentPod, pull_secrets: Sequence[Secret]
    ) -> Sequence[Credential]:
        """The pod's secrets, the node's files, the providers, in this order. Raises InvalidCredentials."""
        keyring = JoinedKeyring(keyring_of_secrets(pull_secrets), self._node_keyring)
        return [*keyring.lookup(repository), *await self._providers.lookup(repository, pod)]

    async def _present(self, job: _Job) -> cri.Image | None:
        try:
            return await _status(job, job.specification)
        except RuntimeFault as error:
            # The name is empty: it is the reference that was not found out.
            message = f'Failed to inspect image "": {describe(error)}'
            self._event(job, WARNING, "InspectFailed", message)
            raise ImageFailure("ImageInspectError", message) from error

    async def _may_use(self, job: _Job, image_ref: str) -> bool:
        return await self._access.may_use(job.name, job.image, image_ref, job.credentials.usable)

    async def _pull(self, job: _Job) -> EnsuredImage:
        self._hold_back(job)
        self._event(job, NORMAL, "Pulling", f"Pulling image {go_quote(job.image)}")
        started = self._clock()
        try:
            await self._access.pulling(job.image)
        except OSError as error:
            raise self._failed(
                job, f"failed to record image pull intent for image {go_quote(job.image)}: {error}"
            ) from error
        succeeded = False
        try:
            credentials = await job.credentials.get()
            pulled = await self._puller.pull(
                job.place.service, job.specification, credentials, job.place.sandbox_config
            )
            succeeded = True
        except (PullError, InvalidCredentials) as error:
            raise self._failed(job, str(error)) from error
        finally:
            if not succeeded:
                await self._access.failed(job.image)
        await self._access.pulled(job.name, job.image, pulled.image_ref, pulled.credential)
        waited = self._clock() - started
        image = await self._after_pull(job, pulled.image_ref)
        self._observer.pulled(pulled.seconds, image.size)
        self._event(
            job,
            NORMAL,
            "Pulled",
            f"Successfully pulled image {go_quote(job.image)} in {_shown(pulled.seconds)} "
            f"({_shown(waited)} including waiting). Image size: {image.size} bytes.",
        )
        return EnsuredImage(image_ref=pulled.image_ref, image=image)

    async def _after_pull(self, job: _Job, image_ref: str) -> cri.Image:
        """What the runtime says of an image just pulled; if it does not answer now, only its name."""
        try:
            image = await _status(job, cri.ImageSpec(image=image_ref, runtime_handler=job.place.runtime_handler))
        except RuntimeFault:
            image = None
        return image if image is not None else cri.Image(id=image_ref)

    def _hold_back(self, job: _Job) -> None:
        remaining = self._backoff.remaining_seconds(job.backoff_key)
        if remaining <= 0:
            return
        message = f"Back-off pulling image {go_quote(job.image)}"
        self._event(job, NORMAL, "BackOff", message)
        last = self._backoff.last_error(job.backoff_key)
        raise ImageFailure("ImagePullBackOff", f"{message}: {last}" if last else message, retry_after_seconds=remaining)

    def _failed(self, job: _Job, error: str) -> ImageFailure:
        self._event(job, WARNING, "Failed", f"Failed to pull image {go_quote(job.image)}: {error}")
        reason, message = "ErrImagePull", error
        for mark, why in _MARKED.items():
            if error.startswith(mark):
                reason, message = mark, f"image pull failed for {job.image} because {why}{error.removeprefix(mark)}"
        self._backoff.failed(job.backoff_key, f"{reason}: {message}")
        remaining = self._backoff.remaining_seconds(job.backoff_key)
        return ImageFailure(reason, message, retry_after_seconds=remaining)

    def _event(self, job: _Job, type: str, reason: str, message: str) -> None:
        self._events.event(job.pod, type, reason, message, field_path=job.wanted.field_path)


def default_policy(image: str) -> str:
    """The API's default: Always for the tag latest, or neither tag nor digest; else IfNotPresent."""
    try:
        name = parse(image)
    except InvalidReference:
        return IF_NOT_PRESENT
    return ALWAYS if name.tag == "latest" else IF_NOT_PRESENT


async def _status(job: _Job, image: cri.ImageSpec) -> cri.Image | None:
    answer = await job.place.service.image_status(cri.ImageStatusRequest(image=image))
    return answer.image if answer.HasField("image") else None


def _shown(seconds: float) -> str:
    return go_duration(whole_milliseconds(seconds))
