// The shapes of session.update, response.create and the items of a conversation, as checks.
import {
  anything,
  byType,
  type Check,
  either,
  flag,
  integerIn,
  listOf,
  nullable,
  numberIn,
  oneOf,
  shape,
  text,
} from '../kit/checks.ts'

/** What a provider knows by name. */
export type KnownNames = { voices: readonly string[]; transcriptionModels: readonly string[] }

export const OPENAI_NAMES: KnownNames = {
  voices: ['alloy', 'ash', 'ballad', 'coral', 'echo', 'sage', 'shimmer', 'verse', 'marin', 'cedar'],
  transcriptionModels: [
    'whisper-1',
    'gpt-realtime-whisper',
    'gpt-4o-transcribe',
    'gpt-4o-mini-transcribe',
    'gpt-4o-mini-transcribe-2025-12-15',
    'gpt-4o-transcribe-diarize',
  ],
}
const TOOLS_MAX = 256
const ITEMS_MAX = 1_000

const FORMAT = byType({
  'audio/pcm': shape({ type: anything, rate: integerIn(24_000, 24_000) }),
  'audio/pcmu': shape({ type: anything, rate: anything }),
  'audio/pcma': shape({ type: anything, rate: anything }),
})

const TURN_DETECTION = byType({
  server_vad: shape({
    type: anything,
    threshold: numberIn(0, 1),
    prefix_padding_ms: integerIn(0, 60_000),
    silence_duration_ms: integerIn(0, 60_000),
    idle_timeout_ms: nullable(integerIn(1, 3_600_000)),
    create_response: flag,
    interrupt_response: flag,
  }),
  semantic_vad: shape({
    type: anything,
    eagerness: oneOf('low', 'medium', 'high', 'auto'),
    create_response: flag,
    interrupt_response: flag,
  }),
})

const transcription = (models: readonly string[]): Check =>
  shape({
    model: oneOf(...models),
    language: text,
    languages: listOf(text, 100),
    keywords: listOf(text, 1_000),
    prompt: text,
    delay: anything,
  })

const NOISE_REDUCTION = shape({ type: oneOf('near_field', 'far_field'), strength: anything })

const input = (models: readonly string[]): Check =>
  shape({
    format: FORMAT,
    noise_reduction: nullable(NOISE_REDUCTION),
    transcription: nullable(transcription(models)),
    turn_detection: nullable(TURN_DETECTION),
  })

/** A name, or an object with the id of a voice that somebody has made. */
const output = (voices: readonly string[]): Check =>
  shape({
    format: FORMAT,
    voice: either(shape({ id: text }, ['id']), oneOf(...voices)),
    speed: numberIn(0.25, 1.5),
  })

const TOOL = byType({
  function: shape({ type: anything, name: text, description: text, parameters: anything, strict: anything }, ['name']),
  mcp: anything,
})
const TOOL_CHOICE = either(byType({ function: anything, mcp: anything }), oneOf('none', 'auto', 'required'))
const MAX_TOKENS = either(oneOf('inf'), integerIn(1, 4_096))
const MODALITIES = listOf(oneOf('text', 'audio'), 1)

/** session.update: `session`. */
export const sessionUpdate = ({ voices, transcriptionModels }: KnownNames): Check =>
  shape(
    {
      type: oneOf('realtime', 'transcription'),
      model: text,
      output_modalities: MODALITIES,
      instructions: text,
      audio: shape({ input: input(transcriptionModels), output: output(voices) }),
      tools: listOf(TOOL, TOOLS_MAX),
      tool_choice: TOOL_CHOICE,
      max_output_tokens: MAX_TOKENS,
      truncation: anything,
      tracing: anything,
      prompt: anything,
      include: anything,
      reasoning: anything,
      parallel_tool_calls: flag,
      id: anything,
      object: anything,
      expires_at: anything,
    },
    ['type'],
  )

const CONTENT = byType({
  input_text: shape({ type: anything, text }, ['text']),
  input_audio: shape({ type: anything, audio: text, transcript: nullable(text) }),
  input_image: anything,
  output_text: shape({ type: anything, text }, ['text']),
  output_audio: anything,
  text: shape({ type: anything, text }, ['text']),
})

const COMMON = { id: text, type: anything, object: anything, status: oneOf('completed', 'incomplete', 'in_progress') }

/** conversation.item.create: `item`. */
export const ITEM = byType({
  message: shape({ ...COMMON, role: oneOf('user', 'assistant', 'system'), content: listOf(CONTENT, 100) }, [
    'role',
    'content',
  ]),
  function_call: shape({ ...COMMON, call_id: text, name: text, arguments: text }, ['name', 'arguments']),
  function_call_output: shape({ ...COMMON, call_id: text, output: text }, ['call_id', 'output']),
  mcp_list_tools: anything,
  mcp_call: anything,
  mcp_approval_request: anything,
  mcp_approval_response: anything,
})

/** response.create: `response`. */
export const RESPONSE = shape({
  instructions: text,
  output_modalities: MODALITIES,
  audio: shape({ output: output(OPENAI_NAMES.voices) }),
  conversation: oneOf('auto', 'none'),
  input: listOf(
    byType({ item_reference: anything, message: anything, function_call: anything, function_call_output: anything }),
    ITEMS_MAX,
  ),
  tools: listOf(TOOL, TOOLS_MAX),
  tool_choice: TOOL_CHOICE,
  max_output_tokens: MAX_TOKENS,
  max_response_output_tokens: MAX_TOKENS,
  metadata: nullable(anything),
  prompt: anything,
  reasoning: anything,
  parallel_tool_calls: flag,
})
