"""The tests that a CSI driver has to pass, for any driver: `pytest --pyargs csi.testing --csi-endpoint unix:///run/csi/csi.sock`.

cases/             the cases, each with an id, a section of the specification, and a level
case.py            how a case says these
implementation.py  which driver, with what parameters and secrets
subject.py         what a case is given: the driver, and volumes that are cleaned up
fixtures.py, plugin.py    how that comes about; the options
"""
