"""A sink's account decides over the gateway's: what it did not take must not stand in it."""

import asyncio

from loadtest.sinks.smtp import Options, SmtpSink

_ENVELOPE = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<%s@example.org>\r\nDATA\r\n"


async def test_a_mail_that_was_refused_in_a_pipeline_is_no_mail_of_the_recipient_before() -> None:
    async with SmtpSink(Options(throttle_per_s=1)) as sink, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", sink.port)
        await reader.readline()
        for name in (b"first", b"second"):
            writer.write(_ENVELOPE % name)
            replies = [await reader.readline() for _ in range(3)]
            if replies[0].startswith(b"250"):
                writer.write(b"Subject: x\r\n\r\nx\r\n.\r\n")
                assert (await reader.readline()).startswith(b"250")
        writer.close()

    assert [reply[:3] for reply in replies] == [b"451", b"503", b"554"]
    assert [mail.rcpt for mail in sink.messages] == ["first@example.org"]
