"""The tests that a CSI driver has to pass, for any driver: `pytest --pyargs csi.testing --csi-endpoint unix:///run/csi/csi.sock`.

`cases/` are the cases, `levels.py` how each says what it is about; `implementation.py` says which driver is tested, `subject.py`
is what a case is given: the driver, and volumes that are cleaned up; `fixtures.py` and `plugin.py` are how that comes about.
"""
