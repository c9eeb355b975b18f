"""A bridge in the shape that FastAPI tutorials give it, for the load generator's tests.

One file, one process: a GET-or-POST route that greets by <Say> and names wss://<host>/media-stream without a port, a WebSocket
route that accepts first and then dials the model, no status callback, no signature check. Needs Debian's python3-fastapi,
python3-uvicorn, python3-websockets and python3-multipart.
"""
import asyncio
import json
import os
import socket

import uvicorn
import websockets
from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import HTMLResponse
from starlette.websockets import WebSocketDisconnect

MODEL_URL = os.environ["OPENAI_REALTIME_URL"]
SESSION = {
    "type": "realtime",
    "output_modalities": ["audio"],
    "instructions": "You are a friendly assistant.",
    "audio": {
        "input": {"format": {"type": "audio/pcmu"}, "turn_detection": {"type": "server_vad"}},
        "output": {"format": {"type": "audio/pcmu"}, "voice": "alloy"},
    },
}

app = FastAPI()


@app.api_route("/incoming-call", methods=["GET", "POST"])
async def incoming_call(request: Request) -> HTMLResponse:
    await request.form()
    stream = f'<Stream url="wss://{request.url.hostname}/media-stream"><Parameter name="lang" value="en"/></Stream>'
    twiml = f"<Response><Say>One moment.</Say><Pause length='1'/><Connect>{stream}</Connect></Response>"
    return HTMLResponse(content=twiml, media_type="application/xml")


@app.websocket("/media-stream")
async def media_stream(phone: WebSocket) -> None:
    await phone.accept()
    state = {"sid": None}
    headers = {"Authorization": "Bearer sk-tutorial"}
    async with websockets.connect(f"{MODEL_URL}?model=gpt-realtime", extra_headers=headers) as model:
        await model.send(json.dumps({"type": "session.update", "session": SESSION}))
        await model.send(json.dumps({"type": "response.create"}))

        async def from_phone() -> None:
            try:
                async for text in phone.iter_text():
                    message = json.loads(text)
                    if message["event"] == "start":
                        state["sid"] = message["start"]["streamSid"]
                    elif message["event"] == "media":
                        payload = message["media"]["payload"]
                        await model.send(json.dumps({"type": "input_audio_buffer.append", "audio": payload}))
            except WebSocketDisconnect:
                pass
            await model.close()

        async def to_phone() -> None:
            async for text in model:
                event = json.loads(text)
                if event["type"] == "response.output_audio.delta" and state["sid"] is not None:
                    media = {"event": "media", "streamSid": state["sid"], "media": {"payload": event["delta"]}}
                    await phone.send_json(media)
                elif event["type"] == "input_audio_buffer.speech_started" and state["sid"] is not None:
                    await phone.send_json({"event": "clear", "streamSid": state["sid"]})

        await asyncio.gather(from_phone(), to_phone(), return_exceptions=True)


class Server(uvicorn.Server):
    """Says on which port it listens once it does."""

    async def startup(self, sockets=None) -> None:
        await super().startup(sockets=sockets)
        print(json.dumps({"ready": True, "port": sockets[0].getsockname()[1]}), flush=True)


if __name__ == "__main__":
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listener])
