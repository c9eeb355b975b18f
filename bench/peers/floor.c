// The floor: the machine's own limit for `npm run bench -- density`. The smallest bridge that still carries a call: one thread, one
// level-triggered epoll loop, OpenSSL towards the model. It does what bare-bridge.ts does, with the same messages on the wires, so that the
// difference between the two is the cost of the runtime. A yardstick, not something to run. Rules:
// FC1: one read for each event, one write for each frame. Frames are joined only while a socket takes nothing more.
// FC2: a message is never parsed. The first KIND_WITHIN_BYTES say its kind; audio is copied from one frame into the other.
// FC3: the bytes that a socket does not take wait, at most OUT_MAX_BYTES. A link that exceeds it is closed.
// FC4: a frame above FRAME_MAX_BYTES, an HTTP head above HEAD_MAX_BYTES, a fragment, a binary message, a frame whose mask or reserved bits are
//      wrong, or an unknown opcode closes the link.
// FC5: the other side's close is answered, and either end of a call ends the other with 1000. A link that is not closed by its peer
//      within CLOSING_MAX_MS is cut.
// FC6: there are at most LINKS_MAX links. A connection above it is closed at once, and so is a call whose model would be above it.
// FC7: over TLS the model's certificate and its name are verified, against SSL_CERT_FILE or the system's list and NODE_EXTRA_CA_CERTS.
// Beyond bare-bridge.ts: it checks Sec-WebSocket-Accept, and says goodbye (1000) where bare-bridge.ts only ends the socket.
// Build: cc -O2 -o floor floor.c -lssl -lcrypto
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#ifndef LINKS_MAX /* floor.test.ts wants fewer */
#define LINKS_MAX 8192
#endif

enum {
  EVENTS_MAX = 128,
  READ_BYTES = 64 * 1024,
  FRAME_MAX_BYTES = 1024 * 1024,
  FRAME_HEAD_MAX_BYTES = 14,
  HEAD_MAX_BYTES = 16 * 1024,
  FIELD_MAX_CHARS = 512,
  OUT_MAX_BYTES = 1024 * 1024,
  MASK_POOL_BYTES = 16 * 1024,
  /** As in bare-bridge.ts: the kind of a message stands within these. */
  KIND_WITHIN_BYTES = 48,
  STREAM_SID_MAX_CHARS = 64,
  CLOSING_MAX_MS = 5000,
  TICK_MS = 1000,
};

enum phase {
  SERVING,    /* the carrier's HTTP */
  CONNECTING, /* TCP to the model */
  SHAKING,    /* TLS to the model */
  ASKING,     /* the upgrade is asked of the model */
  OPEN,       /* WebSocket frames */
  CLOSING,    /* we said goodbye and wait for the peer's end */
  DEAD,       /* closed; freed after this turn's events */
};

/** One socket: the carrier's or the model's. `other` is the far end of the same call. */
struct link {
  int fd;
  bool is_model;
  enum phase phase;
  uint32_t watched;
  SSL *ssl;
  struct link *other, *previous, *next;
  unsigned char *rest; /* the beginning of a frame or a head that is not whole yet */
  size_t rest_bytes;
  unsigned char *out; /* what the socket did not take */
  size_t out_bytes;
  size_t body_left; /* of the HTTP request that is skipped */
  int64_t close_by_ms;
  char accept[32]; /* what the model must answer */
  bool is_ready;   /* the model's session has our settings */
  char stream_sid[STREAM_SID_MAX_CHARS + 1];
};

struct part {
  const void *bytes;
  size_t count;
};

#define TEXT(literal) {literal, sizeof(literal) - 1}
#define KIND(text, count, literal) begins(text, count, literal, sizeof(literal) - 1)

/** As settings.ts writes it; floor.test.ts compares the two. */
static const char SESSION_UPDATE[] =
    "{\"type\":\"session.update\",\"session\":{\"type\":\"realtime\",\"output_modalities\":[\"audio\"],"
    "\"instructions\":\"You answer the phone of a small clinic. Be brief.\",\"audio\":{\"input\":{\"format\":{\"type\":\"audio/pcmu\"},"
    "\"transcription\":{\"model\":\"gpt-4o-mini-transcribe\"},"
    "\"turn_detection\":{\"type\":\"server_vad\",\"create_response\":true,\"interrupt_response\":true}},"
    "\"output\":{\"format\":{\"type\":\"audio/pcmu\"},\"voice\":\"marin\"}}}}";

static struct {
  bool is_tls;
  char host[256], port[8], path[512];
  const char *name, *key, *voice_path;
  struct sockaddr_storage address;
  socklen_t address_bytes;
} settings;

static int poll_fd;
static SSL_CTX *tls;
static struct link *links, *dead;
static int link_count, closing_count;
static volatile sig_atomic_t is_ending;
static unsigned char in[FRAME_MAX_BYTES + FRAME_HEAD_MAX_BYTES + READ_BYTES];
static unsigned char frame[FRAME_MAX_BYTES + 1024];

static void finish(struct link *link);

_Noreturn static void fail(const char *what, const char *why) {
  fprintf(stderr, "floor: %s: %s\n", what, why);
  exit(1);
}

static void *must(void *memory) {
  if (memory == NULL) fail("memory", "there is no more");
  return memory;
}

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Links. */

static struct link *add_link(int fd, bool is_model, enum phase phase, uint32_t events) {
  struct link *link = must(calloc(1, sizeof *link));
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
#ifdef SEND_BUFFER_BYTES /* for floor.test.ts, which wants full sockets */
  int room = SEND_BUFFER_BYTES;
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
#endif
  *link = (struct link){.fd = fd, .is_model = is_model, .phase = phase, .watched = events, .next = links};
  if (links != NULL) links->previous = link;
  links = link;
  link_count++;
  struct epoll_event event = {.events = events, .data.ptr = link};
  if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event) < 0) fail("epoll", strerror(errno));
  return link;
}

static void watch(struct link *link, bool wants_out) {
  uint32_t events = EPOLLIN | (wants_out ? EPOLLOUT : 0u);
  if (link->phase == DEAD || link->watched == events) return;
  link->watched = events;
  struct epoll_event event = {.events = events, .data.ptr = link};
  if (epoll_ctl(poll_fd, EPOLL_CTL_MOD, link->fd, &event) < 0) fail("epoll", strerror(errno));
}

/** Closes the socket at once and ends the other side of the call. */
static void drop(struct link *link) {
  if (link->phase == DEAD) return;
  if (link->phase == CLOSING) closing_count--;
  link->phase = DEAD;
  SSL_free(link->ssl);
  close(link->fd);
  free(link->rest);
  free(link->out);
  if (link->previous != NULL) link->previous->next = link->next;
  else links = link->next;
  if (link->next != NULL) link->next->previous = link->previous;
  link_count--;
  link->next = dead;
  dead = link;
  struct link *other = link->other;
  link->other = NULL;
  if (other == NULL) return;
  other->other = NULL;
  finish(other);
}

static void free_dead(void) {
  while (dead != NULL) {
    struct link *link = dead;
    dead = link->next;
    free(link);
  }
}

/* Writing. */

/** How many bytes the socket took; -1 when it is lost. */
static ssize_t offer(struct link *link, const unsigned char *bytes, size_t count) {
  size_t done = 0;
  while (done < count) {
    if (link->ssl != NULL) {
      int wrote = SSL_write(link->ssl, bytes + done, (int)(count - done));
      if (wrote > 0) {
        done += (size_t)wrote;
        continue;
      }
      int why = SSL_get_error(link->ssl, wrote);
      if (why == SSL_ERROR_WANT_WRITE || why == SSL_ERROR_WANT_READ) break;
      ERR_clear_error();
      return -1;
    }
    ssize_t wrote = write(link->fd, bytes + done, count - done);
    if (wrote >= 0) done += (size_t)wrote;
    else if (errno == EAGAIN) break;
    else if (errno != EINTR) return -1;
  }
  return (ssize_t)done;
}

/** [FC1][FC3] */
static void put(struct link *link, const unsigned char *bytes, size_t count) {
  if (link->phase == DEAD) return;
  if (link->out_bytes == 0) {
    ssize_t done = offer(link, bytes, count);
    if (done < 0) return drop(link);
    bytes += done;
    count -= (size_t)done;
    if (count == 0) return;
  }
  size_t total = link->out_bytes + count;
  if (total > OUT_MAX_BYTES) return drop(link);
  link->out = must(realloc(link->out, total));
  memcpy(link->out + link->out_bytes, bytes, count);
  link->out_bytes = total;
  watch(link, true);
}

/** Our last bytes are out: tells the peer that no more come. */
static void end_writes(struct link *link) {
  if (link->ssl != NULL && SSL_shutdown(link->ssl) < 0) ERR_clear_error();
  shutdown(link->fd, SHUT_WR);
}

static void flush(struct link *link) {
  ssize_t done = offer(link, link->out, link->out_bytes);
  if (done < 0) return drop(link);
  link->out_bytes -= (size_t)done;
  memmove(link->out, link->out + done, link->out_bytes);
  if (link->out_bytes > 0) return;
  free(link->out);
  link->out = NULL;
  watch(link, false);
  if (link->phase == CLOSING) end_writes(link);
}

/** Eight bytes at a time. */
static void mask_over(unsigned char *bytes, size_t count, const unsigned char mask[4]) {
  uint64_t key, word;
  memcpy(&key, mask, 4);
  memcpy((unsigned char *)&key + 4, mask, 4);
  size_t at = 0;
  for (; at + 8 <= count; at += 8) {
    memcpy(&word, bytes + at, 8);
    word ^= key;
    memcpy(bytes + at, &word, 8);
  }
  for (; at < count; at++) bytes[at] ^= mask[at & 3];
}

static const unsigned char *fresh_mask(void) {
  static unsigned char pool[MASK_POOL_BYTES];
  static size_t at = MASK_POOL_BYTES;
  if (at == MASK_POOL_BYTES) {
    if (RAND_bytes(pool, MASK_POOL_BYTES) != 1) fail("random bytes", "there are none");
    at = 0;
  }
  at += 4;
  return pool + at - 4;
}

/** Sends the parts as one frame; `first` is its first byte: final, with its opcode. */
static void send_frame(struct link *link, unsigned char first, const struct part *parts, size_t part_count) {
  size_t bytes = 0;
  for (size_t i = 0; i < part_count; i++) bytes += parts[i].count;
  if (bytes > sizeof frame - FRAME_HEAD_MAX_BYTES) return drop(link);
  unsigned char bit = link->is_model ? 0x80 : 0;
  size_t at = 0;
  frame[at++] = first;
  if (bytes < 126) frame[at++] = (unsigned char)(bit | bytes);
  else {
    int octets = bytes < 65536 ? 2 : 8;
    frame[at++] = (unsigned char)(bit | (octets == 2 ? 126 : 127));
    for (int i = octets - 1; i >= 0; i--) frame[at++] = (unsigned char)((uint64_t)bytes >> (8 * i));
  }
  const unsigned char *mask = NULL;
  if (link->is_model) {
    mask = fresh_mask();
    memcpy(frame + at, mask, 4);
    at += 4;
  }
  size_t start = at;
  for (size_t i = 0; i < part_count; i++) {
    memcpy(frame + at, parts[i].bytes, parts[i].count);
    at += parts[i].count;
  }
  if (mask != NULL) mask_over(frame + start, bytes, mask);
  put(link, frame, at);
}

static void send_text(struct link *link, const struct part *parts, size_t part_count) {
  if (link != NULL && link->phase == OPEN) send_frame(link, 0x81, parts, part_count);
}

/** [FC5] Says goodbye and ends both sides of the call. */
static void finish(struct link *link) {
  if (link->phase >= CLOSING) return;
  if (link->phase != OPEN && link->phase != SERVING) return drop(link);
  struct link *other = link->other;
  link->other = NULL;
  if (link->phase == OPEN) send_frame(link, 0x88, (struct part[]){TEXT("\x03\xe8")}, 1);
  if (link->phase != DEAD) {
    link->phase = CLOSING;
    link->close_by_ms = now_ms() + CLOSING_MAX_MS;
    closing_count++;
    if (link->out_bytes == 0) end_writes(link);
  }
  if (other == NULL) return;
  other->other = NULL;
  finish(other);
}

/* The bridge. */

/** Is `needle` within the first bytes of the message, where a kind always stands? */
static bool begins(const unsigned char *text, size_t count, const char *needle, size_t needle_count) {
  size_t within = KIND_WITHIN_BYTES - 1 + needle_count;
  return memmem(text, count < within ? count : within, needle, needle_count) != NULL;
}

/** [FC2] What stands between `key` and the next quote; `bytes` is NULL when the message has none. */
static struct part between(const unsigned char *text, size_t count, const char *key) {
  size_t key_count = strlen(key);
  const unsigned char *at = memmem(text, count, key, key_count);
  if (at == NULL) return (struct part){NULL, 0};
  at += key_count;
  const unsigned char *quote = memchr(at, '"', count - (size_t)(at - text));
  return quote == NULL ? (struct part){NULL, 0} : (struct part){at, (size_t)(quote - at)};
}

static void greet(struct link *carrier, struct link *model) {
  if (carrier == NULL || model == NULL || !model->is_ready || carrier->stream_sid[0] == '\0') return;
  send_text(model, (struct part[]){TEXT("{\"type\":\"response.create\"}")}, 1);
}

static void on_carrier_text(struct link *carrier, const unsigned char *text, size_t count) {
  if (KIND(text, count, "\"event\":\"media\"")) {
    struct part payload = between(text, count, "\"payload\":\"");
    if (payload.bytes == NULL || carrier->other == NULL || !carrier->other->is_ready) return;
    struct part parts[] = {TEXT("{\"type\":\"input_audio_buffer.append\",\"audio\":\""), payload, TEXT("\"}")};
    send_text(carrier->other, parts, 3);
  } else if (KIND(text, count, "\"event\":\"start\"")) {
    struct part sid = between(text, count, "\"streamSid\":\"");
    if (sid.bytes == NULL || sid.count > STREAM_SID_MAX_CHARS) return drop(carrier);
    memcpy(carrier->stream_sid, sid.bytes, sid.count);
    carrier->stream_sid[sid.count] = '\0';
    greet(carrier, carrier->other);
  } else if (KIND(text, count, "\"event\":\"stop\"")) finish(carrier);
}

static void on_model_text(struct link *model, const unsigned char *text, size_t count) {
  struct link *carrier = model->other;
  if (carrier == NULL) return;
  struct part sid = {carrier->stream_sid, strlen(carrier->stream_sid)};
  if (KIND(text, count, "\"type\":\"response.output_audio.delta\"")) {
    struct part delta = between(text, count, "\"delta\":\"");
    if (delta.bytes == NULL) return;
    struct part media[] = {TEXT("{\"event\":\"media\",\"streamSid\":\""), sid, TEXT("\",\"media\":{\"payload\":\""), delta, TEXT("\"}}")};
    send_text(carrier, media, 5);
    struct part mark[] = {TEXT("{\"event\":\"mark\",\"streamSid\":\""), sid, TEXT("\",\"mark\":{\"name\":\"d\"}}")};
    send_text(carrier, mark, 3);
  } else if (KIND(text, count, "\"type\":\"input_audio_buffer.speech_started\"")) {
    struct part clear[] = {TEXT("{\"event\":\"clear\",\"streamSid\":\""), sid, TEXT("\"}")};
    send_text(carrier, clear, 3);
  } else if (KIND(text, count, "\"type\":\"session.updated\"") && !model->is_ready) {
    model->is_ready = true;
    greet(carrier, model);
  }
}

/** [FC4] One frame from the front of `bytes`; how long it was, 0 when it is not whole. */
static size_t take_frame(struct link *link, unsigned char *bytes, size_t count) {
  if (count < 2) return 0;
  bool is_masked = (bytes[1] & 0x80) != 0;
  uint64_t size = bytes[1] & 0x7f;
  size_t start = 2;
  if (size >= 126) {
    size_t octets = size == 126 ? 2 : 8;
    if (count < 2 + octets) return 0;
    size = 0;
    while (start < 2 + octets) size = size << 8 | bytes[start++];
  }
  unsigned char opcode = bytes[0] & 0x0f;
  if ((bytes[0] & 0xf0) != 0x80 || is_masked == link->is_model || size > (opcode >= 8 ? 125 : FRAME_MAX_BYTES)) {
    drop(link);
    return count;
  }
  if (is_masked) start += 4;
  if (count < start + size) return 0;
  unsigned char *payload = bytes + start;
  if (is_masked) mask_over(payload, size, payload - 4);
  if (opcode == 0x1) (link->is_model ? on_model_text : on_carrier_text)(link, payload, size);
  else if (opcode == 0x8) finish(link);
  else if (opcode == 0x9) send_frame(link, 0x8a, &(struct part){payload, size}, 1);
  else if (opcode != 0xa) drop(link);
  return start + size;
}

/* HTTP. */

/** Copies the head at the front of `bytes`, ended by NUL, to `head`; its bytes, 0 when it is not whole. */
static size_t take_head(struct link *link, const unsigned char *bytes, size_t count, char head[HEAD_MAX_BYTES + 1]) {
  const unsigned char *end = memmem(bytes, count, "\r\n\r\n", 4);
  size_t size = end == NULL ? count : (size_t)(end - bytes) + 4;
  if (size > HEAD_MAX_BYTES) drop(link);
  if (end == NULL || link->phase == DEAD) return 0;
  memcpy(head, bytes, size);
  head[size] = '\0';
  return size;
}

/** The value of a header, given as "\r\nname:"; false when it is not there or too long. */
static bool read_header(const char *head, const char *name, char value[FIELD_MAX_CHARS]) {
  const char *at = strcasestr(head, name);
  if (at == NULL) return false;
  at += strlen(name);
  at += strspn(at, " \t");
  size_t size = strcspn(at, "\r");
  if (size >= FIELD_MAX_CHARS) return false;
  memcpy(value, at, size);
  value[size] = '\0';
  return true;
}

/** Sec-WebSocket-Accept of a key. */
static void write_accept(char accept[32], const char *key) {
  char text[FIELD_MAX_CHARS + 40];
  unsigned char digest[SHA_DIGEST_LENGTH];
  int size = snprintf(text, sizeof text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
  SHA1((unsigned char *)text, (size_t)size, digest);
  EVP_EncodeBlock((unsigned char *)accept, digest, sizeof digest);
}

/** [FC6] */
static void dial(struct link *carrier) {
  if (link_count >= LINKS_MAX) return finish(carrier);
  int fd = socket(settings.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return finish(carrier);
  if (connect(fd, (struct sockaddr *)&settings.address, settings.address_bytes) < 0 && errno != EINPROGRESS) {
    close(fd);
    return finish(carrier);
  }
  struct link *model = add_link(fd, true, CONNECTING, EPOLLIN | EPOLLOUT);
  model->other = carrier;
  carrier->other = model;
}

static void upgrade(struct link *link, const char *key) {
  char accept[32], answer[256];
  write_accept(accept, key);
  int size = snprintf(answer, sizeof answer,
                      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept);
  put(link, (unsigned char *)answer, (size_t)size);
  if (link->phase == DEAD) return;
  link->phase = OPEN;
  dial(link);
}

/** The carrier's requests: the voice webhook, the status callback, the media stream. */
static size_t serve(struct link *link, const unsigned char *bytes, size_t count) {
  char head[HEAD_MAX_BYTES + 1], value[FIELD_MAX_CHARS], target[FIELD_MAX_CHARS], twiml[FIELD_MAX_CHARS + 256], answer[FIELD_MAX_CHARS + 512];
  if (link->body_left > 0) {
    size_t skipped = count < link->body_left ? count : link->body_left;
    link->body_left -= skipped;
    return skipped;
  }
  size_t size = take_head(link, bytes, count, head);
  if (size == 0) return 0;
  if (sscanf(head, "%*15s %511s", target) != 1 || read_header(head, "\r\ntransfer-encoding:", value)) {
    drop(link);
    return size;
  }
  if (read_header(head, "\r\nupgrade:", value) && strcasecmp(value, "websocket") == 0) {
    if (read_header(head, "\r\nsec-websocket-key:", value)) upgrade(link, value);
    else drop(link);
    return size;
  }
  if (read_header(head, "\r\ncontent-length:", value)) link->body_left = strtoul(value, NULL, 10);
  const char *status = "404 Not Found";
  twiml[0] = '\0';
  if (strcmp(target, settings.voice_path) == 0) {
    status = "200 OK";
    const char *host = read_header(head, "\r\nhost:", value) ? value : "127.0.0.1";
    snprintf(twiml, sizeof twiml,
             "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Connect><Stream url=\"wss://%s/media\"/></Connect></Response>", host);
  } else if (strcmp(target, "/twilio/status") == 0) status = "204 No Content";
  int bytes_out = status[0] == '2' && twiml[0] == '\0'
                      ? snprintf(answer, sizeof answer, "HTTP/1.1 %s\r\n\r\n", status)
                      : snprintf(answer, sizeof answer, "HTTP/1.1 %s\r\nContent-Type: text/xml\r\nContent-Length: %zu\r\n\r\n%s", status, strlen(twiml), twiml);
  put(link, (unsigned char *)answer, (size_t)bytes_out);
  if (read_header(head, "\r\nconnection:", value) && strcasecmp(value, "close") == 0) finish(link);
  return size;
}

/** Asks the model's side for the upgrade. */
static void ask(struct link *model) {
  unsigned char key[16];
  char key_text[32], request[2048];
  if (RAND_bytes(key, sizeof key) != 1) fail("random bytes", "there are none");
  EVP_EncodeBlock((unsigned char *)key_text, key, sizeof key);
  write_accept(model->accept, key_text);
  int size = snprintf(request, sizeof request,
                      "GET %s?model=%s HTTP/1.1\r\nHost: %s:%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                      "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer %s\r\n\r\n",
                      settings.path, settings.name, settings.host, settings.port, key_text, settings.key);
  if (size >= (int)sizeof request) fail("the request for the upgrade", "too long");
  model->phase = ASKING;
  watch(model, false);
  put(model, (unsigned char *)request, (size_t)size);
}

static size_t take_answer(struct link *model, const unsigned char *bytes, size_t count) {
  char head[HEAD_MAX_BYTES + 1], value[FIELD_MAX_CHARS];
  size_t size = take_head(model, bytes, count, head);
  if (size == 0) return 0;
  if (strncmp(head, "HTTP/1.1 101", 12) != 0 || !read_header(head, "\r\nsec-websocket-accept:", value) || strcmp(value, model->accept) != 0) {
    drop(model);
    return size;
  }
  model->phase = OPEN;
  send_text(model, (struct part[]){TEXT(SESSION_UPDATE)}, 1);
  return size;
}

/* Events. */

/** [FC7] */
static void shake(struct link *model) {
  int done = SSL_do_handshake(model->ssl);
  if (done == 1) return ask(model);
  int why = SSL_get_error(model->ssl, done);
  if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return watch(model, why == SSL_ERROR_WANT_WRITE);
  long verdict = SSL_get_verify_result(model->ssl);
  const char *reason = verdict == X509_V_OK ? ERR_reason_error_string(ERR_peek_error()) : X509_verify_cert_error_string(verdict);
  fprintf(stderr, "floor: no TLS with the model: %s\n", reason == NULL ? "it ended" : reason);
  ERR_clear_error();
  drop(model);
}

static void connected(struct link *model) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(model->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return drop(model);
  if (!settings.is_tls) return ask(model);
  model->ssl = must(SSL_new(tls));
  bool is_address = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(model->ssl), settings.host) == 1;
  if (!is_address && (SSL_set1_host(model->ssl, settings.host) != 1 || SSL_set_tlsext_host_name(model->ssl, settings.host) != 1))
    fail("OPENAI_REALTIME_URL", "the host is no name");
  ERR_clear_error();
  if (SSL_set_fd(model->ssl, model->fd) != 1) fail("TLS", "no memory");
  SSL_set_connect_state(model->ssl);
  model->phase = SHAKING;
  shake(model);
}

/** Bytes read, 0 when there are none now, -1 at the end. */
static ssize_t receive(struct link *link, unsigned char *bytes) {
  if (link->ssl != NULL) {
    int got = SSL_read(link->ssl, bytes, READ_BYTES);
    if (got > 0) return got;
    int why = SSL_get_error(link->ssl, got);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return 0;
    ERR_clear_error();
    return -1;
  }
  ssize_t got = read(link->fd, bytes, READ_BYTES);
  if (got > 0) return got;
  return got < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static size_t take(struct link *link, unsigned char *bytes, size_t count) {
  switch (link->phase) {
  case SERVING: return serve(link, bytes, count);
  case ASKING: return take_answer(link, bytes, count);
  case OPEN: return take_frame(link, bytes, count);
  default: return count;
  }
}

static void keep(struct link *link, const unsigned char *bytes, size_t count) {
  if (count == 0 && link->rest == NULL) return;
  if (count > 0) {
    link->rest = must(realloc(link->rest, count));
    memcpy(link->rest, bytes, count);
  } else {
    free(link->rest);
    link->rest = NULL;
  }
  link->rest_bytes = count;
}

/** One read; over TLS as many as OpenSSL has already taken from the socket. */
static void read_from(struct link *link) {
  do {
    size_t rest = link->rest_bytes;
    ssize_t got = receive(link, in + rest);
    if (got == 0) return;
    if (got < 0) return drop(link);
    if (rest > 0) memcpy(in, link->rest, rest);
    size_t count = rest + (size_t)got, used = 0;
    while (used < count) {
      size_t taken = take(link, in + used, count - used);
      if (taken == 0) break;
      used += taken;
    }
    if (link->phase == DEAD) return;
    keep(link, in + used, count - used);
  } while (link->ssl != NULL && SSL_has_pending(link->ssl));
}

static void on_event(struct link *link, uint32_t events) {
  if (link->phase == DEAD) return;
  if (link->phase == CONNECTING) return connected(link);
  if (link->phase == SHAKING) return shake(link);
  if (link->out_bytes > 0) flush(link);
  if (link->phase != DEAD && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read_from(link);
}

/** [FC6] */
static void accept_from(int listener) {
  int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) {
    if (errno == EMFILE || errno == ENFILE) fail("accept", strerror(errno));
    return;
  }
  if (link_count < LINKS_MAX) add_link(fd, false, SERVING, EPOLLIN);
  else close(fd);
}

static void cut_late(void) {
  int64_t now = now_ms();
  for (struct link *link = links, *next; link != NULL; link = next) {
    next = link->next;
    if (link->phase == CLOSING && link->close_by_ms <= now) drop(link);
  }
}

static void on_signal(int signal) {
  (void)signal;
  is_ending = 1;
}

/* Settings. */

static const char *setting(const char *name, const char *otherwise) {
  const char *value = getenv(name);
  return value == NULL || value[0] == '\0' ? otherwise : value;
}

static void read_settings(void) {
  const char *url = setting("OPENAI_REALTIME_URL", "ws://127.0.0.1:8090/v1/realtime");
  settings.name = setting("OPENAI_REALTIME_MODEL", "gpt-realtime-2.1");
  settings.key = setting("OPENAI_API_KEY", "sk-bench");
  settings.voice_path = setting("VOICE_PATH", "/twilio/voice");
  settings.is_tls = strncmp(url, "wss://", 6) == 0;
  if (!settings.is_tls && strncmp(url, "ws://", 5) != 0) fail("OPENAI_REALTIME_URL", "neither ws:// nor wss://");
  if (sscanf(strchr(url, '/') + 2, "%255[^:/]:%7[0-9]%511[^?]", settings.host, settings.port, settings.path) != 3 ||
      strlen(settings.path) == sizeof settings.path - 1)
    fail("OPENAI_REALTIME_URL", "not of the form ws://host:port/path");
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
  int error = getaddrinfo(settings.host, settings.port, &hints, &found);
  if (error != 0) fail("OPENAI_REALTIME_URL", gai_strerror(error));
  memcpy(&settings.address, found->ai_addr, found->ai_addrlen);
  settings.address_bytes = found->ai_addrlen;
  freeaddrinfo(found);
}

/** [FC7] One context for all dials. */
static void open_tls(void) {
  if (!settings.is_tls) return;
  tls = must(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
  SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(tls, 1); /* head and body of a record in one read */
  SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
  const char *extra = getenv("NODE_EXTRA_CA_CERTS");
  if (SSL_CTX_set_default_verify_paths(tls) != 1) fail("certificates", "the system's list cannot be read");
  if (extra != NULL && SSL_CTX_load_verify_locations(tls, extra, NULL) != 1) fail("NODE_EXTRA_CA_CERTS", "cannot be read");
  ERR_clear_error();
}

/** Listens on loopback and prints the ready line. */
static int listen_on(int port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 511) < 0 || getsockname(fd, (struct sockaddr *)&address, &size) < 0)
    fail("PORT", strerror(errno));
  struct epoll_event event = {.events = EPOLLIN};
  if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event) < 0) fail("epoll", strerror(errno));
  printf("{\"ready\":true,\"port\":%d}\n", ntohs(address.sin_port));
  fflush(stdout);
  return fd;
}

int main(void) {
  struct rlimit files;
  sigset_t ends, none;
  struct epoll_event events[EVENTS_MAX];
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  sigemptyset(&none);
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  sigprocmask(SIG_BLOCK, &ends, NULL); /* they come only while the loop waits */
  signal(SIGTERM, on_signal);
  signal(SIGINT, on_signal);
  signal(SIGPIPE, SIG_IGN);
  read_settings();
  open_tls();
  poll_fd = epoll_create1(EPOLL_CLOEXEC);
  int listener = listen_on(atoi(setting("PORT", "0")));
  while (!is_ending) {
    int count = epoll_pwait(poll_fd, events, EVENTS_MAX, closing_count > 0 ? TICK_MS : -1, &none);
    if (count < 0 && errno != EINTR) fail("epoll", strerror(errno));
    for (int i = 0; i < count; i++) {
      if (events[i].data.ptr == NULL) accept_from(listener);
      else on_event(events[i].data.ptr, events[i].events);
    }
    if (closing_count > 0) cut_late();
    free_dead();
  }
  while (links != NULL) drop(links);
  free_dead();
  SSL_CTX_free(tls);
  close(listener);
  close(poll_fd);
  return 0;
}
