"""Call CSI drivers from Python, on asyncio.

    from csi.client import Client
    from csi.values import AccessMode, mount_capability
    from proto import csi_pb2

    driver = Client.at("unix:///var/lib/kubelet/plugins/hostpath.example.org/csi.sock")
    print((await driver.identity.plugin()).name)
    await driver.node.publish_volume(
        csi_pb2.NodePublishVolumeRequest(
            volume_id="vol-1",
            target_path="/mnt/vol-1",
            volume_capability=mount_capability(AccessMode.SINGLE_NODE_WRITER),
        )
    )

Every call has a deadline and connects anew; errors are classes by what the caller may do (`csi.errors`). `csi.driver` is a
driver to use and to test with, `csi.testing` the tester for any. All of it needs nothing of the rest but the ground floor.
Nothing is imported here: the tester's plug-in is loaded in every test run on a machine.
"""
