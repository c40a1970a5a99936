"""Drives the Telegram simulator with unmodified aiogram, whose models refuse whatever the Bot API would not send.

Needs TELEGRAM_SIMULATOR (http://host:port) and aiogram 3.31. Exits non-zero at the first thing that is not as it
is on the real server.
"""

import asyncio
import os
import struct
import zlib

import aiohttp
from aiogram import Bot, Dispatcher, F, Router, exceptions
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.enums import ChatAction, ParseMode
from aiogram.filters import Command, CommandStart
from aiogram.types import (
    BotCommand,
    BufferedInputFile,
    CallbackQuery,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaDocument,
    InputMediaPhoto,
    Message,
    ReplyParameters,
)
from aiogram.webhook.aiohttp_server import SimpleRequestHandler
from aiohttp import web

SIMULATOR = os.environ["TELEGRAM_SIMULATOR"].rstrip("/")
TOKEN = "5550001:aiogram-check"
SECRET = "only-Telegram_knows"


def new_bot(token: str = TOKEN) -> Bot:
    return Bot(token, session=AiohttpSession(api=TelegramAPIServer.from_base(SIMULATOR)))


def png(width: int, height: int, shade: int) -> bytes:
    """A real picture without a picture library."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes([shade, 90, 160]) * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def keyboard(*data: str) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(
        inline_keyboard=[[InlineKeyboardButton(text=one.title(), callback_data=one) for one in data]]
    )


class Person:
    """Ann, played over the control API. Each run has its own, so that it can be repeated on one simulator."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http
        self.id = 0

    async def call(self, method: str, path: str, **arguments):
        async with self.http.request(method, f"{SIMULATOR}/sim{path}", **arguments) as answer:
            body = await answer.json()
            assert answer.status == 200, f"{path}: {body}"
            return body

    async def create(self) -> None:
        user = await self.call("POST", "/users", json={"first_name": "Ann", "language_code": "en"})
        self.id = user["id"]

    async def say(self, text: str) -> None:
        await self.call("POST", f"/users/{self.id}/text", json={"text": text})

    async def press(self, data: str) -> None:
        await self.call("POST", f"/users/{self.id}/press", json={"data": data})

    async def send(self, kind: str, *files: bytes, **fields: str) -> None:
        form = aiohttp.FormData(fields)
        for number, content in enumerate(files):
            form.add_field(f"file{number}", content, filename=f"{number}.png", content_type="image/png")
        await self.call("POST", f"/users/{self.id}/{kind}", data=form)

    async def sees(self, text: str, **conditions) -> dict:
        wanted = {"chat_id": self.id, "from": "bot", "containing": text, **conditions}
        return (await self.call("GET", "/wait", params=wanted))["messages"][-1]

    async def fault(self, method: str, **action) -> None:
        await self.call("POST", "/faults", json={"method": method, "action": action})


def routes() -> Router:
    """A small bot, written as its authors would write it."""
    router = Router()

    @router.message(CommandStart())
    async def start(message: Message) -> None:
        await message.answer("<b>Hello</b>, " + message.from_user.first_name, parse_mode=ParseMode.HTML,
                             reply_markup=keyboard("yes", "no"))

    @router.callback_query(F.data == "yes")
    async def yes(query: CallbackQuery) -> None:
        await query.answer("noted")
        await query.message.edit_text("You said yes")

    @router.message(F.photo)
    async def photo(message: Message, bot: Bot) -> None:
        largest = message.photo[-1]
        content = (await bot.download(largest)).read()
        assert len(content) == largest.file_size
        await message.reply(f"photo {largest.width}x{largest.height} {message.media_group_id or 'alone'}")

    @router.message(F.document)
    async def document(message: Message, bot: Bot) -> None:
        content = (await bot.download(message.document)).read()
        await message.reply(f"document {message.document.mime_type} {zlib.crc32(content)}")

    @router.message(Command("status"))
    async def status(message: Message) -> None:
        await message.answer("status of " + message.text)

    return router


async def a_conversation(person: Person) -> None:
    await person.say("/start")
    await person.sees("Hello, Ann", button="Yes")
    await person.press("yes")
    edited = await person.sees("You said yes")
    assert edited["earlier"][0]["text"] == "Hello, Ann", edited
    chat = await person.call("GET", f"/chats/{person.id}")
    assert chat["callbacks"][-1]["answer"]["text"] == "noted", chat["callbacks"]
    await person.send("photos", png(640, 400, 1))
    reply = await person.sees("photo 640x400 alone")
    assert reply["reply_to_message_id"], reply
    album = [png(50 + number, 40, number) for number in range(3)]
    await person.send("photos", *album, order="2,0,1", caption="three")
    for number in range(3):
        await person.sees(f"photo {50 + number}x40 1")
    file = png(70, 70, 9)
    await person.send("documents", file)
    await person.sees(f"document image/png {zlib.crc32(file)}")
    await person.say("/status")
    await person.sees("status of /status")


async def long_polling(bot: Bot, person: Person) -> None:
    dispatcher = Dispatcher()
    dispatcher.include_router(routes())
    polling = asyncio.create_task(dispatcher.start_polling(bot, handle_signals=False, close_bot_session=False))
    await a_conversation(person)
    await dispatcher.stop_polling()
    await polling


async def webhook(bot: Bot, person: Person) -> None:
    dispatcher = Dispatcher()
    dispatcher.include_router(routes())
    app = web.Application()
    SimpleRequestHandler(dispatcher, bot, secret_token=SECRET).register(app, path="/hook")
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}/hook"
    assert await bot.set_webhook(url, secret_token=SECRET, drop_pending_updates=True)
    await person.say("/status by webhook")
    await person.sees("status of /status by webhook")
    info = await bot.get_webhook_info()
    assert (info.url, info.pending_update_count, info.last_error_message) == (url, 0, None), info
    await refused(bot.get_updates(), exceptions.TelegramConflictError, "can't use getUpdates method")
    assert await bot.delete_webhook()
    await runner.cleanup()


async def what_the_bot_sends(bot: Bot, person: Person) -> None:
    me = await bot.get_me()
    assert me.is_bot and me.id == bot.id and me.username
    chat = await bot.get_chat(person.id)
    assert (chat.type, chat.first_name) == ("private", "Ann"), chat
    assert await bot.set_my_commands([BotCommand(command="start", description="Begin")])
    assert [one.command for one in await bot.get_my_commands()] == ["start"]
    assert await bot.set_my_description("Avatars of your own", language_code="en")
    assert (await bot.get_my_description(language_code="en")).description == "Avatars of your own"
    assert await bot.set_my_short_description("Avatars")
    assert (await bot.get_my_short_description()).short_description == "Avatars"
    assert await bot.send_chat_action(person.id, ChatAction.UPLOAD_PHOTO)

    text = await bot.send_message(person.id, "*a* _b_ \\.", parse_mode=ParseMode.MARKDOWN_V2,
                                  reply_markup=keyboard("go"))
    assert (text.text, [one.type for one in text.entities]) == ("a b .", ["bold", "italic"]), text
    reply = await bot.send_message(person.id, "so", reply_parameters=ReplyParameters(message_id=text.message_id))
    assert reply.reply_to_message.message_id == text.message_id
    bare = await bot.edit_message_reply_markup(chat_id=person.id, message_id=text.message_id)
    assert bare.reply_markup is None and bare.edit_date

    picture = BufferedInputFile(png(300, 200, 3), "a.png")
    photo = await bot.send_photo(person.id, picture, caption="<i>new</i>", parse_mode=ParseMode.HTML)
    assert (photo.photo[-1].width, photo.caption) == (300, "new"), photo
    other = InputMediaPhoto(media=BufferedInputFile(png(120, 80, 4), "b.png"), caption="other")
    changed = await bot.edit_message_media(other, chat_id=person.id, message_id=photo.message_id)
    assert (changed.photo[-1].width, changed.caption) == (120, "other"), changed
    recaptioned = await bot.edit_message_caption(chat_id=person.id, message_id=photo.message_id, caption="third")
    assert recaptioned.caption == "third"
    again = await bot.send_photo(person.id, photo.photo[-1].file_id)
    assert again.photo[-1].file_unique_id == photo.photo[-1].file_unique_id

    document = await bot.send_document(person.id, BufferedInputFile(b"words", "a.txt"))
    assert (document.document.file_name, document.document.file_size) == ("a.txt", 5), document
    album = await bot.send_media_group(person.id, [other, InputMediaPhoto(media=photo.photo[-1].file_id)])
    assert len({one.media_group_id for one in album}) == 1 and len(album) == 2
    files = [InputMediaDocument(media=BufferedInputFile(bytes([one]), "x.bin")) for one in range(2)]
    assert len(await bot.send_media_group(person.id, files)) == 2
    assert await bot.delete_messages(person.id, [one.message_id for one in album])
    assert await bot.delete_message(person.id, document.message_id)


async def refused(call, kind: type, text: str = ""):
    try:
        await call
    except exceptions.AiogramError as error:
        assert type(error) is kind, f"{type(error).__name__} instead of {kind.__name__}: {error}"
        assert text in str(error), f"{text!r} is not in {error}"
        return error
    raise AssertionError(f"{kind.__name__} was expected, and the call succeeded")


async def errors(bot: Bot, person: Person) -> None:
    bad, forbidden = exceptions.TelegramBadRequest, exceptions.TelegramForbiddenError

    def say(text: str = "x", **arguments):
        return bot.send_message(**{"chat_id": person.id, "text": text, **arguments})

    await refused(say(chat_id=1), bad, "Bad Request: chat not found")
    await refused(say(""), bad, "message text is empty")
    await refused(say("x" * 4097), bad, "message is too long")
    await refused(say("<b>x", parse_mode="HTML"), bad, "can't parse entities: Can't find end tag")
    await refused(say(reply_markup=keyboard("x" * 65)), bad, "BUTTON_DATA_INVALID")
    sent = await say()
    await refused(sent.edit_text("x"), bad, "message is not modified")
    await sent.delete()
    await refused(sent.edit_text("y"), bad, "message to edit not found")
    await refused(sent.delete(), bad, "message to delete not found")
    await refused(bot.get_file("nothing"), bad, "invalid file_id")
    await refused(bot.answer_callback_query("1"), bad, "query is too old")
    too_large = BufferedInputFile(bytes(51 << 20), "large.bin")
    await refused(bot.send_document(person.id, too_large), exceptions.TelegramEntityTooLarge)

    await person.call("POST", f"/users/{person.id}/block", json={})
    await refused(say(), forbidden, "bot was blocked by the user")
    await person.call("POST", f"/users/{person.id}/unblock", json={})
    stranger = await person.call("POST", "/users", json={"first_name": "Stranger"})
    await refused(say(chat_id=stranger["id"]), forbidden, "bot can't initiate conversation with a user")

    await person.fault("sendMessage", kind="retry_after", seconds=7)
    assert (await refused(say(), exceptions.TelegramRetryAfter)).retry_after == 7
    moved = {"code": 400, "description": "Bad Request: group chat was upgraded to a supergroup chat"}
    await person.fault("sendMessage", kind="error", parameters={"migrate_to_chat_id": -1007}, **moved)
    assert (await refused(say(), exceptions.TelegramMigrateToChat)).migrate_to_chat_id == -1007
    await person.fault("sendMessage", kind="refuse", error="internal_server_error")
    await refused(say(), exceptions.TelegramServerError)
    await person.fault("sendMessage", kind="html", status=502)
    await refused(say(), exceptions.ClientDecodeError)
    await person.fault("sendMessage", kind="refuse", error="unauthorized")
    await refused(say(), exceptions.TelegramUnauthorizedError)
    await person.fault("sendMessage", kind="drop")
    await refused(say(), exceptions.TelegramNetworkError)
    await person.fault("sendMessage", kind="lose_answer")
    await refused(say("lost"), exceptions.TelegramNetworkError)
    await person.sees("lost")


async def main() -> None:
    async with aiohttp.ClientSession() as http, new_bot() as bot:
        person = Person(http)
        await person.create()
        for check in (long_polling, webhook, what_the_bot_sends, errors):
            await asyncio.wait_for(check(bot, person), timeout=60)
            print(f"aiogram: {check.__name__.replace('_', ' ')}: ok", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
