package workspace

// schemaVersion is the version of the tables below. A database of a later version is not read.
const schemaVersion = 5

// schema are the tables, made by the function tables. Times are UTC in RFC 3339; JSON columns hold what internal/result marshals; a metric that is
// not defined is NULL, an infinite one is ±9e999, which SQLite stores as ±Inf.
const schema = `
CREATE TABLE runs (
  id          INTEGER PRIMARY KEY,
  command     TEXT NOT NULL,
  name        TEXT NOT NULL,
  started     TEXT NOT NULL,
  seconds     REAL NOT NULL,
  spec        TEXT NOT NULL,  -- JSON
  tool        TEXT NOT NULL,
  onnxruntime TEXT NOT NULL,
  machine     TEXT NOT NULL,  -- JSON
  model       TEXT NOT NULL,  -- JSON
  warnings    TEXT NOT NULL   -- JSON
);
CREATE TABLE samples (
  run    INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  role   TEXT NOT NULL,       -- compared | calibration
  number INTEGER NOT NULL,
  name   TEXT NOT NULL,
  path   TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  PRIMARY KEY (run, role, number)
) WITHOUT ROWID;
CREATE TABLE layers (
  run    INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  number INTEGER NOT NULL,    -- graph order
  name   TEXT NOT NULL,
  clean  TEXT NOT NULL,
  node   TEXT NOT NULL,
  op     TEXT NOT NULL,
  dtype  TEXT NOT NULL,
  shape  TEXT NOT NULL,       -- JSON
  output INTEGER NOT NULL,
  inputs TEXT NOT NULL,       -- JSON: numbers of the layers it is computed from
  PRIMARY KEY (run, number)
) WITHOUT ROWID;
CREATE TABLE variants (
  run      INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  number   INTEGER NOT NULL,
  name     TEXT NOT NULL,
  spec     TEXT NOT NULL,     -- JSON
  diverges INTEGER,           -- number of the first layer under the threshold
  failed   TEXT NOT NULL,     -- JSON
  birth    TEXT NOT NULL,     -- of the first diverging layer's error
  inputs   TEXT NOT NULL,     -- JSON: what the first operators get
  emulator TEXT,              -- JSON; NULL for a simulation on the CPU
  twin     INTEGER,           -- the variant that simulates what this one emulates
  parts    INTEGER,           -- number of the first layer where the two part
  container TEXT,             -- JSON: the DLC that it was run from; NULL for others
  time     TEXT,              -- JSON: the estimate of its time on the DSP; NULL: none
  verdict  TEXT,              -- JSON: what it is worth, with values that are not finite and layers that the engine computes wrongly; NULL in runs that are older
  PRIMARY KEY (run, number)
) WITHOUT ROWID;
CREATE TABLE encodings (
  run      INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  variant  INTEGER NOT NULL,
  kind     TEXT NOT NULL,     -- input | activation | param
  tensor   TEXT NOT NULL,
  channel  INTEGER NOT NULL,  -- −1: one encoding for the tensor
  axis     INTEGER NOT NULL,  -- −1: one encoding for the tensor
  bits     INTEGER NOT NULL,
  symmetric INTEGER NOT NULL,
  min      REAL NOT NULL,
  max      REAL NOT NULL,
  scale    REAL NOT NULL,
  offset   INTEGER NOT NULL,
  PRIMARY KEY (run, variant, kind, tensor, channel)
) WITHOUT ROWID;
CREATE TABLE layer_results (
  run     INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  variant INTEGER NOT NULL,
  layer   INTEGER NOT NULL,
  status  TEXT NOT NULL,
  reason  TEXT NOT NULL,
  tap     TEXT NOT NULL,
  share   REAL,               -- of the noise that all layers make alone; NULL if that was not measured
  local_reason TEXT NOT NULL, -- why it was not
  histogram TEXT,             -- JSON: values on the first sample
  on_cpu  INTEGER NOT NULL DEFAULT 0, -- the HTP refused its operator
  apart   REAL,               -- share of the values more than a step away from the twin's
  local_apart REAL,           -- the same with the layer computed alone
  rule    TEXT NOT NULL DEFAULT '', -- by which a DLC's tensor was found
  cycles  REAL,               -- its part of the time on the DSP, estimated; NULL: not known
  PRIMARY KEY (run, variant, layer)
) WITHOUT ROWID;
-- scope: accumulated | local | local weights | local activations (the layer alone) | whole weights | whole activations
-- (the whole model with only these quantized, output layers only) | twin | local twin (emulated against simulated)
CREATE TABLE metrics (        -- over the samples
  run     INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  variant INTEGER NOT NULL,
  layer   INTEGER NOT NULL,
  scope   TEXT NOT NULL,
  metric  TEXT NOT NULL,
  mean    REAL,
  min     REAL,
  max     REAL,
  worst   INTEGER NOT NULL,   -- number of the sample
  PRIMARY KEY (run, variant, layer, scope, metric)
) WITHOUT ROWID;
CREATE TABLE sample_metrics (
  run     INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  variant INTEGER NOT NULL,
  layer   INTEGER NOT NULL,
  scope   TEXT NOT NULL,
  sample  INTEGER NOT NULL,
  METRIC_COLUMNS,
  PRIMARY KEY (run, variant, layer, scope, sample)
) WITHOUT ROWID;
` + modelTables + explorationTables

// explorationTables hold what explorations found, and what they found out on the way: an exploration that was killed goes on there.
const explorationTables = `
CREATE TABLE explorations (
  id      INTEGER PRIMARY KEY,
  name    TEXT NOT NULL,
  started TEXT NOT NULL,
  seconds REAL NOT NULL,
  model   TEXT NOT NULL,
  verdict TEXT NOT NULL,
  result  TEXT NOT NULL        -- JSON: all of it
);
CREATE TABLE trials (
  key   TEXT PRIMARY KEY,      -- SHA-256 of all that the value depends on
  kind  TEXT NOT NULL,         -- score | distance | price | sensitivity | rewrite
  made  TEXT NOT NULL,
  value TEXT NOT NULL          -- JSON
) WITHOUT ROWID;
`

// modelTables hold what model files say of themselves, without a run, evaluations, and estimates.
const modelTables = `
CREATE TABLE models (
  id        INTEGER PRIMARY KEY,
  name      TEXT NOT NULL UNIQUE,
  path      TEXT NOT NULL,
  format    TEXT NOT NULL,
  converter TEXT NOT NULL,
  quantizer TEXT NOT NULL,
  added     TEXT NOT NULL,
  macs      INTEGER,           -- NULL: not known
  parameters INTEGER,
  precision TEXT NOT NULL      -- JSON: layers by type
);
CREATE TABLE model_layers (    -- a row per output of a layer, in the file's order
  model    INTEGER NOT NULL REFERENCES models(id) ON DELETE CASCADE,
  number   INTEGER NOT NULL,
  tensor   TEXT NOT NULL,
  layer    TEXT NOT NULL,      -- without the converter's endings
  node     TEXT NOT NULL,
  op       TEXT NOT NULL,
  dtype    TEXT NOT NULL,
  shape    TEXT NOT NULL,      -- JSON
  bits     INTEGER,            -- NULL from here: no encoding
  channels INTEGER,
  scale    REAL,
  offset   INTEGER,
  min      REAL,
  max      REAL,
  PRIMARY KEY (model, number)
) WITHOUT ROWID;
CREATE TABLE evaluations (     -- what quantcheck eval found
  id      INTEGER PRIMARY KEY,
  name    TEXT NOT NULL,
  task    TEXT NOT NULL,
  started TEXT NOT NULL,
  seconds REAL NOT NULL,
  model   TEXT NOT NULL,
  data    TEXT NOT NULL,
  result  TEXT NOT NULL        -- JSON: all of it
);
CREATE TABLE scores (          -- the numbers of it, for queries
  evaluation INTEGER NOT NULL REFERENCES evaluations(id) ON DELETE CASCADE,
  model      INTEGER NOT NULL, -- 0: float
  name       TEXT NOT NULL,
  metric     TEXT NOT NULL,    -- '' for the score by class
  class      TEXT NOT NULL,    -- '' for the score over all
  value      REAL,
  PRIMARY KEY (evaluation, model, metric, class)
) WITHOUT ROWID;
CREATE TABLE estimates (       -- what the HTP compiler's cost model expects of a model
  id      INTEGER PRIMARY KEY,
  name    TEXT NOT NULL,
  variant TEXT NOT NULL,
  path    TEXT NOT NULL,
  started TEXT NOT NULL,
  tool    TEXT NOT NULL,
  wheel   TEXT NOT NULL,
  soc     TEXT NOT NULL,
  base    TEXT NOT NULL,       -- the chip that was simulated
  cycles  INTEGER NOT NULL,
  lower   INTEGER NOT NULL,
  upper   INTEGER NOT NULL,
  us      INTEGER NOT NULL,
  us_lower INTEGER NOT NULL,
  us_upper INTEGER NOT NULL,
  input_fill_bytes   INTEGER NOT NULL,
  output_spill_bytes INTEGER NOT NULL,
  missing INTEGER NOT NULL,
  covered REAL NOT NULL,       -- share of the graph, 0 to 1
  result  TEXT NOT NULL,       -- JSON: all of it but the layers
  timeline BLOB                -- Chrome's trace JSON, gzip; NULL: none
);
CREATE TABLE estimate_layers (
  estimate INTEGER NOT NULL REFERENCES estimates(id) ON DELETE CASCADE,
  number  INTEGER NOT NULL,
  kind    TEXT NOT NULL,       -- operator | input | output | idle
  node    INTEGER NOT NULL,
  raw     TEXT NOT NULL,
  name    TEXT NOT NULL,
  op      TEXT NOT NULL,
  added   INTEGER NOT NULL,
  events  INTEGER NOT NULL,
  cycles  REAL NOT NULL,
  share   REAL NOT NULL,
  hmx     INTEGER NOT NULL,    -- busy cycles from here
  hvx     INTEGER NOT NULL,
  dma     INTEGER NOT NULL,
  scalar  INTEGER NOT NULL,
  dram_bytes INTEGER NOT NULL,
  PRIMARY KEY (estimate, number)
) WITHOUT ROWID;
`

// migrations bring the tables of version i+1 to version i+2.
var migrations = []string{`
ALTER TABLE variants ADD COLUMN emulator TEXT;
ALTER TABLE variants ADD COLUMN twin INTEGER;
ALTER TABLE variants ADD COLUMN parts INTEGER;
ALTER TABLE layer_results ADD COLUMN on_cpu INTEGER NOT NULL DEFAULT 0;
ALTER TABLE layer_results ADD COLUMN apart REAL;
ALTER TABLE layer_results ADD COLUMN local_apart REAL;
`, `
ALTER TABLE variants ADD COLUMN container TEXT;
ALTER TABLE variants ADD COLUMN time TEXT;
ALTER TABLE layer_results ADD COLUMN cycles REAL;
ALTER TABLE layer_results ADD COLUMN rule TEXT NOT NULL DEFAULT '';
` + modelTables, explorationTables, `
ALTER TABLE variants ADD COLUMN verdict TEXT;
`}

// The scopes of metrics.
const (
	scopeAccumulated  = "accumulated"
	scopeLocal        = "local"
	scopeLocalWeights = "local weights"
	scopeLocalActs    = "local activations"
	scopeWholeWeights = "whole weights"
	scopeWholeActs    = "whole activations"
	scopeTwin         = "twin"
	scopeLocalTwin    = "local twin"
)
