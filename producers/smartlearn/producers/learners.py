"""The pseudonyms of learners: made before anything leaves the process."""

from __future__ import annotations

from smartlearn.core.pseudonyms import Pseudonymizer, load_key
from smartlearn.core.settings import Settings
from smartlearn.core.stack import StackRecord


def learner_pseudonyms(settings: Settings) -> Pseudonymizer:
    """The pseudonyms of an installation, by the key that all its nodes share.

    A missing key is made where the installation is this machine: no server is set, or the set one belongs to the stack
    that `smartlearn up` runs in the data directory. Elsewhere it must be copied from another node.

    Raises:
        SettingsError: there is no key and none may be made, or it cannot be read.
    """
    return Pseudonymizer(load_key(settings.key_file, create=_is_local(settings)))


def _is_local(settings: Settings) -> bool:
    if settings.kafka.bootstrap_servers is None:
        return True
    record = StackRecord.read(settings.data_dir)
    return record is not None and record.kafka == settings.kafka.bootstrap_servers
