"""Users and permissions, with redis-py and valkey-py, on this server and, to prove the tests, on Valkey."""

import pytest


@pytest.fixture(params=["server", "valkey_server"], ids=["on-verbena", "on-valkey"])
def place(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def admin(flavour, place):
    client = flavour.client(place, decode_responses=True)
    yield client
    client.acl_deluser("app", "other")
    client.acl_log_reset()
    client.close()


def test_a_user_is_made_described_and_removed(admin):
    assert admin.acl_whoami() == "default"
    assert admin.acl_setuser(
        "app", enabled=True, passwords=["+secret", "+other"], categories=["+@read", "-@dangerous"], commands=["+set", "+client|id"],
        keys=["app:*", "shared:?"], channels=["news"], selectors=[("+@hash", "~hash:*")])
    described = admin.acl_getuser("app")
    assert described["flags"] == ["on"]
    assert len(described["passwords"]) == 2
    assert (described["enabled"], described["categories"], described["commands"]) == (
        True, ["-@all", "+@read", "-@dangerous"], ["+set", "+client|id"])
    assert (described["keys"], described["channels"]) == (["~app:*", "~shared:?"], ["&news"])
    assert len(described["selectors"]) == 1
    assert admin.acl_setuser("app", enabled=True, passwords=["-other"])
    assert len(admin.acl_getuser("app")["passwords"]) == 1
    assert sorted(admin.acl_users()) == ["app", "default"]
    assert len(admin.acl_list()) == 2
    assert admin.acl_deluser("app") == 1
    assert admin.acl_getuser("app") is None


def test_categories_and_passwords(admin):
    assert {"read", "write", "dangerous"} <= set(admin.acl_cat())
    assert {"get", "hget"} <= set(admin.acl_cat("read"))
    assert len(admin.acl_genpass()) == 64
    assert len(admin.acl_genpass(128)) == 32


def test_a_client_authenticates_and_is_held_to_its_permissions(flavour, place, admin):
    library = flavour.library
    admin.acl_setuser("app", enabled=True, passwords=["+secret"], commands=["+get", "+set", "+ping", "+acl|whoami", "+client|setinfo"],
                      keys=["app:*"], channels=[], reset_channels=True)
    client = flavour.client(place, username="app", password="secret", decode_responses=True)
    assert client.acl_whoami() == "app"
    assert client.set("app:1", "x") is True
    assert client.get("app:1") == "x"
    for denied in (lambda: client.get("other"), lambda: client.delete("app:1"), lambda: client.acl_list()):
        with pytest.raises(library.exceptions.NoPermissionError):
            denied()
    entries = admin.acl_log()
    assert [(entry["reason"], entry["object"], entry["username"]) for entry in entries] == [
        ("command", "acl|list", "app"), ("command", "del", "app"), ("key", "other", "app")]
    assert admin.acl_dryrun("app", "get", "app:x") == "OK"
    assert "no permissions to access the 'x' key" in admin.acl_dryrun("app", "get", "x")
    client.close()
    stranger = flavour.client(place, username="app", password="wrong")
    with pytest.raises(library.exceptions.AuthenticationError):
        stranger.ping()
    stranger.close()


def test_a_removed_users_connection_ends_and_the_client_says_why(flavour, place, admin):
    admin.acl_setuser("app", enabled=True, nopass=True, categories=["+@all"], keys=["*"])
    client = flavour.client(place, username="app", password="any", retry=None)
    assert client.ping() is True
    assert admin.acl_deluser("app") == 1
    errors = flavour.library.exceptions
    with pytest.raises((errors.ConnectionError, errors.AuthenticationError)):
        client.ping()
    client.close()
