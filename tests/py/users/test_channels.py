"""channels-redis: messages to channels and to groups between several layers, in order, and refused beyond the capacity."""

import asyncio

import pytest
from channels.exceptions import ChannelFull
from channels_redis.core import RedisChannelLayer
from deployment import deployment, seconds  # noqa: F401
from ledger import url

LAYERS = 3
CAPACITY = 20
BATCH = 15
WAIT_SECONDS = 10


def layers():
    return [RedisChannelLayer(hosts=[url()], capacity=CAPACITY, expiry=600) for _ in range(LAYERS)]


async def receive(layer, channel, count):
    async with asyncio.timeout(WAIT_SECONDS):
        return [(await layer.receive(channel))["number"] for _ in range(count)]


async def close(members):
    for layer in members:
        await layer.flush()
        await layer.close_pools()


def test_groups(deployment):  # noqa: F811
    async def main():
        members = layers()
        channels = [await layer.new_channel() for layer in members]
        for layer, channel in zip(members, channels, strict=True):
            await layer.group_add("everybody", channel)
        sent = 0
        for number in seconds():
            numbers = list(range(number * BATCH, (number + 1) * BATCH))
            readers = [asyncio.create_task(receive(*member, BATCH)) for member in zip(members, channels, strict=True)]
            for one in numbers:
                await members[one % LAYERS].group_send("everybody", {"type": "told", "number": one})
            # Messages of one time stamp come in any order.
            for reader in readers:
                assert sorted(await reader) == numbers
            sent += BATCH
        await members[0].group_discard("everybody", channels[0])
        await members[1].group_send("everybody", {"type": "told", "number": -1})
        for layer, channel in list(zip(members, channels, strict=True))[1:]:
            assert await receive(layer, channel, 1) == [-1]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await members[0].receive(channels[0])
        await close(members)
        return sent

    print(f"{asyncio.run(main())} messages to {LAYERS} members")
    assert deployment.redis.dbsize() == 0


def test_capacity(deployment):  # noqa: F811
    async def main():
        members = layers()
        refused = 0
        for number in seconds():
            channel = f"channel-{number}"
            await members[0].group_add("full", channel)
            tries = await asyncio.gather(
                *(members[index % LAYERS].send(channel, {"type": "told", "number": index}) for index in range(CAPACITY - 1)),
            )
            assert len(tries) == CAPACITY - 1
            for index in range(3):  # a group's message that is too many is dropped
                await members[1].group_send("full", {"type": "told", "number": CAPACITY + index})
            with pytest.raises(ChannelFull):
                await members[2].send(channel, {"type": "told", "number": -1})
            refused += 1
            expected = [*range(CAPACITY - 1), CAPACITY]
            assert sorted(await receive(members[number % LAYERS], channel, CAPACITY)) == expected
            await members[0].group_discard("full", channel)
        await close(members)
        return refused

    print(f"{asyncio.run(main())} times full")
    assert deployment.redis.dbsize() == 0
