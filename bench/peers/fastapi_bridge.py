"""A FastAPI bridge of the kind that tutorials show: one process, asyncio, JSON parsed and written for every message.

Kept free of tuning: it is the comparison of `bench density`. Needs Debian's python3-fastapi, python3-uvicorn,
python3-websockets and python3-multipart, and runs under /usr/bin/python3.
"""
import asyncio
import json
import os
import socket

import uvicorn
import websockets
from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import Response

PORT = int(os.environ.get("PORT", "0"))
MODEL_URL = os.environ.get("OPENAI_REALTIME_URL", "ws://127.0.0.1:8090/v1/realtime")
MODEL = os.environ.get("OPENAI_REALTIME_MODEL", "gpt-realtime-2.1")
API_KEY = os.environ.get("OPENAI_API_KEY", "sk-bench")
INSTRUCTIONS = "You answer the phone of a small clinic. Be brief."

app = FastAPI()


@app.post("/twilio/voice")
async def voice(request: Request) -> Response:
    await request.form()
    host = request.headers["host"]
    twiml = f'<?xml version="1.0" encoding="UTF-8"?><Response><Connect><Stream url="wss://{host}/media"/></Connect></Response>'
    return Response(content=twiml, media_type="text/xml")


@app.post("/twilio/status")
async def status() -> Response:
    return Response(status_code=204)


def session_update() -> dict:
    return {
        "type": "session.update",
        "session": {
            "type": "realtime",
            "output_modalities": ["audio"],
            "instructions": INSTRUCTIONS,
            "audio": {
                "input": {
                    "format": {"type": "audio/pcmu"},
                    "transcription": {"model": "gpt-4o-mini-transcribe"},
                    "turn_detection": {"type": "server_vad", "create_response": True, "interrupt_response": True},
                },
                "output": {"format": {"type": "audio/pcmu"}, "voice": "marin"},
            },
        },
    }


class Bridge:
    """One call: the carrier's socket and the model's, and what is needed to truncate."""

    def __init__(self, carrier: WebSocket, model) -> None:
        self.carrier = carrier
        self.model = model
        self.stream_sid = None
        self.latest_media_ms = 0
        self.response_start_ms = None
        self.last_item = None
        self.marks = []

    async def carrier_to_model(self) -> None:
        try:
            async for text in self.carrier.iter_text():
                message = json.loads(text)
                event = message["event"]
                if event == "media":
                    self.latest_media_ms = int(message["media"]["timestamp"])
                    audio = {"type": "input_audio_buffer.append", "audio": message["media"]["payload"]}
                    await self.model.send(json.dumps(audio))
                elif event == "start":
                    self.stream_sid = message["start"]["streamSid"]
                    await self.model.send(json.dumps({"type": "response.create"}))
                elif event == "mark" and self.marks:
                    self.marks.pop(0)
                elif event == "stop":
                    break
        except WebSocketDisconnect:
            pass
        await self.model.close()

    async def model_to_carrier(self) -> None:
        async for text in self.model:
            event = json.loads(text)
            kind = event["type"]
            if kind == "response.output_audio.delta":
                await self.carrier.send_json(
                    {"event": "media", "streamSid": self.stream_sid, "media": {"payload": event["delta"]}}
                )
                if self.response_start_ms is None or event["item_id"] != self.last_item:
                    self.response_start_ms = self.latest_media_ms
                    self.last_item = event["item_id"]
                await self.carrier.send_json(
                    {"event": "mark", "streamSid": self.stream_sid, "mark": {"name": "responsePart"}}
                )
                self.marks.append("responsePart")
            elif kind == "input_audio_buffer.speech_started":
                await self.interrupt()

    async def interrupt(self) -> None:
        if not self.marks or self.response_start_ms is None:
            return
        heard_ms = self.latest_media_ms - self.response_start_ms
        truncate = {
            "type": "conversation.item.truncate",
            "item_id": self.last_item,
            "content_index": 0,
            "audio_end_ms": heard_ms,
        }
        await self.model.send(json.dumps(truncate))
        await self.carrier.send_json({"event": "clear", "streamSid": self.stream_sid})
        self.marks.clear()
        self.last_item = None
        self.response_start_ms = None


@app.websocket("/media")
async def media(carrier: WebSocket) -> None:
    await carrier.accept()
    headers = {"Authorization": f"Bearer {API_KEY}"}
    async with websockets.connect(f"{MODEL_URL}?model={MODEL}", extra_headers=headers) as model:
        await model.send(json.dumps(session_update()))
        bridge = Bridge(carrier, model)
        tasks = [asyncio.create_task(bridge.carrier_to_model()), asyncio.create_task(bridge.model_to_carrier())]
        _done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
    try:
        await carrier.close()
    except RuntimeError:
        pass


class Server(uvicorn.Server):
    """Says on which port it listens once it does."""

    async def startup(self, sockets=None) -> None:
        await super().startup(sockets=sockets)
        print(json.dumps({"ready": True, "port": sockets[0].getsockname()[1]}), flush=True)


if __name__ == "__main__":
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", PORT))
    Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listener])
