# ruff: noqa: E501  -- a case is a line: what is written, and what is answered
"""What bad manifests are answered: the place, and a sentence that says what to do."""

import pytest

from libs.common.manifests import read_documents
from libs.common.manifests.fields import normalize_folder
from libs.common.manifests.repository import normalize_url

HEADS = {
    "ML": "apiVersion: mlmesh/v1\nkind: MLComponent\nmetadata: {name: m}\nspec:\n",
    "EP": "apiVersion: mlmesh/v1\nkind: ExperimentPipeline\nmetadata: {name: p}\nspec:\n",
    "API": "apiVersion: mlmesh/v1\nkind: APIComponent\nmetadata: {name: a}\nspec:\n",
    "BOX": "apiVersion: mlmesh/v1\nkind: DataBox\nmetadata: {name: b}\nspec:\n",
    "SEC": "apiVersion: mlmesh/v1\nkind: Secret\nmetadata: {name: s}\n",
    "MAP": "apiVersion: mlmesh/v1\nkind: ConfigMap\nmetadata: {name: c}\n",
    "REPO": "apiVersion: mlmesh/v1\nkind: Repository\nmetadata: {name: r}\nspec:\n",
    "APP": "apiVersion: mlmesh/v1\nkind: PlatformApp\nmetadata: {name: x}\nspec:\n",
}
IMAGE = "  image: {existingImageName: app}\n"
SERVICE = '  mlService: {inference: "a:f"}\n'
ML = HEADS["ML"] + IMAGE + SERVICE  # ends on line 6
STAGES = HEADS["EP"] + "  vars: [{name: a}, {name: b}]\n  stages:\n"  # ends on line 6
FREE = "  mlComponent: {name: m}\n  restfulApi: {path: x, auth: {none: {}},"
ORIGIN = 'must be scheme://host or scheme://host:port, in lower case and without a path, or "*" for all origins'
AUTH = "  restfulApi: {path: x, auth: {none: {}}}\n"


def problems(text: str) -> list[str]:
    return [
        f"{found} ({found.severity})" if found.severity == "warning" else str(found)
        for found in read_documents({"m.yml": text.encode()})[1]
    ]


HEADERS = [
    ("- a\n", "1:1: not a manifest; it starts with apiVersion, kind, metadata and spec"),
    (
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n",
        "1:1: this is a Git LFS pointer; the file itself is not in the commit, and is not fetched from Git LFS: take "
        "its pattern out of .gitattributes, run git add --renormalize, and commit it again",
    ),
    ("just text", "1:1: not a manifest; it starts with apiVersion, kind, metadata and spec"),
    ("\n\na: 1\n", '3:1: missing field "kind"; it is one of APIComponent, ConfigMap, DataBox, ExperimentPipeline, MLComponent, PlatformApp, Repository, Secret'),
    ("kind: MLComponant\n", '1:7: unknown kind "MLComponant"; did you mean "MLComponent"?'),
    ("kind: Deployment\n", '1:7: unknown kind "Deployment"; the kinds are APIComponent, ConfigMap, DataBox, ExperimentPipeline, MLComponent, PlatformApp, Repository, Secret'),
    ("kind: [a]\n", "1:1: unknown kind a list; the kinds are APIComponent, ConfigMap, DataBox, ExperimentPipeline, MLComponent, PlatformApp, Repository, Secret"),
    (HEADS["BOX"].replace("mlmesh/v1", "mlmesh/v2") + "  s3DefaultStorage: {}\n", '1:13: "apiVersion" must be mlmesh/v1 or unified-platform.cs.hse.ru/v1, not "mlmesh/v2"'),
    ("kind: DataBox\nmetadata: {name: b}\nspec: {s3DefaultStorage: {}}\n", '1:1: missing field "apiVersion"; write apiVersion: mlmesh/v1'),
    ("apiVersion: mlmesh/v1\nkind: DataBox\nspec: {s3DefaultStorage: {}}\n", '1:1: missing field "metadata"'),
    ("apiVersion: mlmesh/v1\nkind: DataBox\nmetadata: {}\nspec: {s3DefaultStorage: {}}\n", '3:1: missing field "name" in "metadata"'),
    ("apiVersion: mlmesh/v1\nkind: DataBox\nmetadata: x\nspec: {s3DefaultStorage: {}}\n", '3:11: "metadata" must be a mapping of fields, not "x"'),
    ("apiVersion: mlmesh/v1\nkind: DataBox\nmetadata: {name: My_Box}\nspec: {s3DefaultStorage: {}}\n", '3:18: "name" must be at most 63 lower-case letters, digits and -, with a letter or digit at both ends, not "My_Box"'),
    ("apiVersion: mlmesh/v1\nkind: DataBox\nmetadata: {name: 1}\nspec: {s3DefaultStorage: {}}\n", '3:18: "name" must be text, not 1; put it in quotes'),
    ("apiVersion: mlmesh/v1\nkind: DataBox\nmetadata: {name: b}\nspec:\n", '4:1: "spec" has no value; write one'),
    ("apiVersion: mlmesh/v1\nkind: DataBox\nmetadata: {name: b, labels: {a: 1}}\nspec: {s3DefaultStorage: {}}\n", '3:33: "a" must be text, not 1; put it in quotes'),
    ("apiVersion: mlmesh/v1\nkind: DataBox\nmetadata: {name: b}\nspec: {s3DefaultStorage: {}}\nstatus: {}\n", '5:1: unknown field "status"; the fields here are apiVersion, kind, metadata, spec'),
]  # fmt: skip

COMPONENTS = [
    (ML + "  servicePorts: 8002\n", '7:3: unknown field "servicePorts"; did you mean "servicePort"?'),
    (ML + "  service_port: 8002\n", '7:3: unknown field "service_port"; did you mean "servicePort"?'),
    (ML + "  servicePort: '8002'\n", '7:16: "servicePort" must be a whole number, not "8002"'),
    (ML + "  servicePort: 70000\n", '7:16: "servicePort" must be at most 65535, not 70000'),
    (ML + "  servicePort: true\n", '7:16: "servicePort" must be a whole number, not true'),
    (ML + "  env: {A: b}\n", '7:3: "env" must be a list, not a mapping'),
    (ML + "  env:\n    - A=b\n", '8:7: "env[0]" must be a mapping of fields, not "A=b"'),
    (ML + "  env:\n    - {name: A, value: 1}\n", '8:24: "value" must be text, not 1; put it in quotes'),
    (ML + "  env:\n    - {name: A}\n", '8:7: missing field "value" in "env[0]"'),
    (ML + "  env:\n    - {name: A, value: }\n", '8:17: "value" has no value; write one'),
    (ML + "  env:\n    - {name: A-B, value: x}\n", '8:14: "name" must be letters, digits and _, not starting with a digit, not "A-B"'),
    (ML + "  env:\n    - {name: MLMESH_X, value: x}\n", '8:14: "name" must not start with MLMESH_ or UNIP_PIPELINE_: the platform sets these'),
    (ML + "  env:\n    - {name: UNIP_PIPELINE_A, value: x}\n", '8:14: "name" must not start with MLMESH_ or UNIP_PIPELINE_: the platform sets these'),
    (ML + "  env: [{name: A, value: x}, {name: A, value: y}]\n", '7:37: "A" is in this list twice; remove one'),
    (ML + "  connectedBoxes: [a, {name: a}]\n", '7:30: "a" is in this list twice; remove one'),
    (ML + "  connectedBoxes: [{nam: a}]\n", '7:20: missing field "name" in "connectedBoxes[0]"', '7:21: unknown field "nam"; did you mean "name"?'),
    (ML + "  envFrom: [{secretRef: s}]\n", '7:25: "secretRef" must be a mapping of fields, not "s"'),
    (ML + "  envFrom: [{}]\n", "7:13: name one of secretRef or configMapRef"),
    (ML + "  envFrom: [{secretRef: {name: s}, configMapRef: {name: s}}]\n", "7:13: only one of secretRef or configMapRef is possible; remove secretRef or configMapRef"),
    (ML + "  resources: {cpu: much}\n", '7:20: "cpu" must be a number of cores such as 2, 0.5 or 500m, not "much"'),
    (ML + "  resources: {cpu: 0}\n", '7:20: "cpu" must be at least 1m, not 0'),
    (ML + "  resources: {memory: 500m}\n", '7:23: "memory" must be a size such as 512Mi, 1G or a number of bytes, not "500m"'),
    (ML + "  resources: {memory: 1M}\n", '7:23: "memory" must be at least 6Mi, not "1M"'),
    (ML + "  resources: {gpu: -1}\n", '7:20: "gpu" must be at least 0, not -1'),
    (ML + "  startTimeout: soon\n", '7:17: "startTimeout" must be a duration such as 30s, 5m, 1h30m or a number of seconds, not "soon"'),
    (ML + "  startTimeout: 0\n", '7:17: "startTimeout" must be at least 0.001s, not 0'),
    (ML + "  scaling: {min: 3, max: 2}\n", '7:3: "min" (3) is above "max" (2); raise "max"'),
    (ML + "  scaling: {min: 17, max: 17}\n", '7:27: "max" must be at most 16, not 17'),
    (HEADS["ML"] + SERVICE, '4:1: missing field "image" in "spec"; write image: {existingImageName: <image>}'),
    (HEADS["ML"] + SERVICE + "  image: {}\n", "6:3: name one of existingImageName or build"),
    (HEADS["ML"] + SERVICE + "  image: {existingImageName: a, build: {}}\n", "6:3: only one of existingImageName or build is possible; remove existingImageName or build"),
    (HEADS["ML"] + SERVICE + "  image: {existingImageName: https://a}\n", '6:30: "existingImageName" must be an image reference such as team/app:1.0 (lower case, no spaces, no https://), not "https://a"'),
    (HEADS["ML"] + IMAGE, '4:1: missing field "mlService" in "spec"; it names the function, as in mlService: {inference: "package.module:function"}'),
    (HEADS["ML"] + IMAGE + "  mlService: {}\n", "6:3: name one of inference or app"),
    (HEADS["ML"] + IMAGE + "  mlService: {inference: a.b.c}\n", '6:26: "inference" must be package.module:function, not "a.b.c"'),
    (HEADS["ML"] + IMAGE + '  mlService: {inference: "a:f", modelBox: w}\n', '6:43: "modelBox" needs "modelPath", the model\'s <group>/<file> in that box'),
    (HEADS["ML"] + IMAGE + '  mlService: {inference: "a:f", modelPath: g/f}\n', '6:44: "modelPath" needs "modelBox", the box that the model is in'),
    (HEADS["ML"] + IMAGE + '  mlService: {inference: "a:f", modelBox: w, modelPath: f}\n', '6:57: "modelPath" must be <group>/<file>, or <group>/ for a whole group, not "f"'),
    (HEADS["ML"] + IMAGE + '  mlService: {inference: "a:f", modelBox: w, modelPath: ../f}\n', '6:57: "modelPath" must be a relative path such as weights/model.onnx, without ".", ".." and empty parts, not "../f"'),
    (HEADS["ML"] + IMAGE + '  mlService: {inference: "a:f", modelBox: w, modelPath: /g/f}\n', '6:57: "modelPath" must be a relative path such as weights/model.onnx, without ".", ".." and empty parts, not "/g/f"'),
    (HEADS["ML"] + IMAGE + '  mlService: {inference: "a:f", concurrency: 0}\n', '6:46: "concurrency" must be at least 1, not 0'),
    (HEADS["ML"] + IMAGE + '  mlService: {inference: "a:f", warmup: [1]}\n', '6:42: "warmup[0]" must be a mapping of fields, not 1'),
    (HEADS["ML"] + IMAGE + '  mlService: {inference: "a:f", packageRegistryName: p}\n', '6:54: "packageRegistryName" is not needed here; it may be removed (warning)'),
]  # fmt: skip

BUILDS = [
    (HEADS["ML"] + SERVICE + "  image: {build: {context: ../other}}\n", '6:28: "context" must be a folder in the repository such as manifests, or . for its root, without "..", not "../other"'),
    (HEADS["ML"] + SERVICE + "  image: {build: {dockerfile: /etc/x}}\n", '6:31: "dockerfile" must be a relative path such as weights/model.onnx, without ".", ".." and empty parts, not "/etc/x"'),
    (HEADS["ML"] + SERVICE + "  image: {build: {dockerfile: a/Dockerfile, base: debian}}\n", '6:11: "base" is for a Dockerfile that the platform writes; say it in "dockerfile"'),
    (HEADS["ML"] + SERVICE + "  image: {build: {dockerfile: a/Dockerfile, packages: [libgl1]}}\n", '6:11: "packages" is for a Dockerfile that the platform writes; say it in "dockerfile"'),
    (HEADS["ML"] + SERVICE + "  image: {build: {base: 'https://a'}}\n", '6:25: "base" must be an image reference such as team/app:1.0 (lower case, no spaces, no https://), not "https://a"'),
    (HEADS["ML"] + SERVICE + "  image: {build: {packages: [libgl1, 'a b']}}\n", '6:38: "packages[1]" must be the name of a Debian package such as libgl1, not "a b"'),
    (HEADS["ML"] + SERVICE + "  image: {build: {packages: ['--force']}}\n", '6:30: "packages[0]" must be the name of a Debian package such as libgl1, not "--force"'),
    (HEADS["ML"] + SERVICE + "  image: {build: {args: {FLAVOUR: 1}}}\n", '6:35: "FLAVOUR" must be text, not 1; put it in quotes'),
    (HEADS["ML"] + SERVICE + "  image: {build: {secrets: [Bad]}}\n", '6:29: "secrets[0]" must be at most 63 lower-case letters, digits and -, with a letter or digit at both ends, not "Bad"'),
    (HEADS["ML"] + SERVICE + "  image: {build: {timeout: 0}}\n", '6:28: "timeout" must be at least 0.001s, not 0'),
    (HEADS["ML"] + SERVICE + "  image: {build: {network: host}}\n", '6:28: "network" must be internet or none, not "host"'),
    (HEADS["ML"] + SERVICE + "  image: {build: {}, credentials: login}\n", '6:3: "credentials" is for "existingImageName", an image that is pulled; remove it'),
    (HEADS["ML"] + SERVICE + "  image: {build: {contxt: a}}\n", '6:19: unknown field "contxt"; did you mean "context"?'),
]  # fmt: skip

NOT_YET = [
    (HEADS["ML"] + IMAGE + '  mlService: {app: "a:app", loader: "a:b"}\n', '6:37: "loader" belongs to "inference", a function; "app" does this itself'),
    (HEADS["ML"] + IMAGE + '  mlService: {inference: "a:f", batching: {maxSize: 0, maxDelayMs: 5}}\n', '6:53: "maxSize" must be at least 1, not 0'),
    (HEADS["ML"] + IMAGE + '  mlService: {inference: "a:f", modelUpdate: auto}\n', '6:33: "modelUpdate: auto" is not supported yet; remove it'),
    (HEADS["API"] + "  mlComponent: {name: m}\n  restfulApi: {path: x, auth: {oidc: {issuer: i, audience: a}}}\n", '6:32: "oidc" is not supported yet; remove it'),
]  # fmt: skip

BUILT = [
    HEADS["ML"] + SERVICE + "  image: {existingImageName: a, credentials: s}\n",
    ML + "  security: {egress: none}\n",
    ML + "  scaling: {min: 3, max: 3}\n",
    ML + "  scaling: {min: 0, max: 4, targetConcurrency: 2, idleTimeout: 5m}\n",
    ML + "  security: {egress: internet, readOnlyRoot: true}\n",
    ML + "  env:\n  connectedBoxes:\n",
    HEADS["ML"] + IMAGE + '  mlService: {inference: "a:f", modelUpdate: manual, batching: }\n',
    STAGES
    + "    - {name: s, image: {existingImageName: i}, cache: false, inputs: [{name: a}], outputs: [{name: b}]}\n",
    HEADS["API"] + "  files: {}\n  restfulApi: {auth: {apiKey: {}, basic: {credentials: s}}}\n",
    HEADS["API"]
    + "  pipelines: {}\n  restfulApi: {identityPassThrough: true, auth: {apiKey: {}, identityPassThrough: true}}\n",
    HEADS["API"] + FREE + ' cors: {origins: ["*"]}}\n',
    HEADS["API"] + FREE + " cors: {origins: [https://a.example, 'http://[::1]:3000', app://-]}}\n",
    HEADS["REPO"] + "  url: git@git.example:team/app.git\n  credentials: git\n  webhook: {secret: h}\n",
    HEADS["REPO"] + "  url: file:///srv/app.git\n  path: .\n  branch: feature/x\n",
    HEADS["REPO"] + "  branch: main\n",
    HEADS["MAP"] + "data: {A: x, b.c: 'yes', D: \"1\"}\n",
    HEADS["MAP"] + "data:\n",
    HEADS["MAP"].replace("mlmesh/", "").replace("name: c", "name: c, creationTimestamp: ") + "data: {A: x}\n",
    HEADS["SEC"] + "spec: {keys: [petrova.pa, ssh-privatekey, TOKEN]}\n",
]


def pipeline(*stages: str, variables: str = "[{name: a}, {name: b}]") -> str:
    lines = [
        f"    - {{name: {stage.split()[0]}, image: {{existingImageName: i}}, {' '.join(stage.split()[1:])}}}\n"
        for stage in stages
    ]
    return HEADS["EP"] + f"  vars: {variables}\n  stages:\n" + "".join(lines)


PIPELINES = [
    (HEADS["EP"] + "  vars: []\n  stages: []\n", '6:3: "stages" needs at least 1 item'),
    (HEADS["EP"] + "  stages: [{name: s, image: {existingImageName: i}}]\n", '4:1: missing field "vars" in "spec"'),
    (pipeline("s inputs: [{name: a}, {name: c}], outputs: [{name: b}]"), '7:75: unknown variable "c"; add it to "vars"'),
    (pipeline("s inputs: [{name: foto}], outputs: [{name: b}]", variables="[{name: foto1}, {name: b}]"), '7:64: unknown variable "foto"; did you mean "foto1"?'),
    (pipeline("s inputs: [{name: a}, {name: a}], outputs: [{name: b}]"), '7:75: stage "s" has "a" in its inputs twice; remove one'),
    (pipeline("s inputs: [{name: a}], outputs: [{name: b}]", "s inputs: [{name: b}]"), '8:14: two stages are called "s"; rename one'),
    (pipeline("s outputs: [{name: a}, {name: b}]", "t outputs: [{name: b}]"), '8:65: variable "b" is already an output of stage "s"; use another variable here'),
    (pipeline("s inputs: [{name: a}]", variables="[{name: a}, {name: a}]"), '5:28: variable "a" is declared twice; remove one'),
    (pipeline("s inputs: [{name: a-b}]", variables="[{name: a-b}, {name: a_b}]"), '5:30: variables "a-b" and "a_b" would both be UNIP_PIPELINE_A_B; rename one'),
    (pipeline("s inputs: [{name: a}]", variables="[{name: a}, {name: A}]"), '5:28: variables "a" and "A" would both be UNIP_PIPELINE_A; rename one'),
    (pipeline("s inputs: [{name: a}]", variables="[{name: ../a}]"), '5:17: "name" must be at most 63 letters, digits, - and _, and start with a letter or digit, not "../a"'),
    (pipeline("s outputs: [{name: a}]", variables="[{name: a, mountFrom: {box: w, path: g/f}}]"), '7:65: variable "a" has "mountFrom" and cannot be an output of a stage; remove one of the two'),
    (pipeline("s inputs: [{name: a}], outputs: [{name: a}]", variables="[{name: a}]"), "7:14: stages depend on each other in a cycle: s → s; remove an input of one of them"),
    (pipeline("s inputs: [{name: b}], outputs: [{name: a}]", "t inputs: [{name: a}], outputs: [{name: b}]"), "7:14: stages depend on each other in a cycle: s → t → s; remove an input of one of them"),
    (pipeline("s inputs: [{name: a}]"), '5:28: no stage uses variable "b"; remove it, or add it to a stage (warning)'),
    (pipeline("s entryPoint: 'a \"b', inputs: [{name: a}], outputs: [{name: b}]"), '7:60: "entryPoint" cannot be split into words: no closing quotation; use a list'),
    (pipeline("s entryPoint: '', inputs: [{name: a}], outputs: [{name: b}]"), '7:60: "entryPoint" needs at least 1 item'),
    (pipeline("s retries: {reasons: [oops]}, inputs: [{name: a}], outputs: [{name: b}]"), '7:68: "reasons[0]" must be error, oom, timeout or lost, not "oops"'),
    (pipeline("s env: [{name: A, value: x}, {name: A, value: y}], inputs: [{name: a}], outputs: [{name: b}]"), '7:82: "A" is in this list twice; remove one'),
]  # fmt: skip

APIS = [
    (HEADS["API"] + "  mlComponent: {name: m}\n", '4:1: missing field "restfulApi" in "spec"; it says who may call, and under which path'),
    (HEADS["API"] + "  mlComponent: {name: m}\n  restfulApi: {path: x}\n", '6:3: missing field "auth" in "restfulApi"; say who may call: basic, apiKey, or none: {} for everybody'),
    (HEADS["API"] + "  mlComponent: {name: m}\n  restfulApi: {path: x, auth: }\n", '6:25: "auth" has no value; say who may call: basic, apiKey, or none: {} for everybody'),
    (HEADS["API"] + "  mlComponent: {name: m}\n  restfulApi: {path: x, auth: {}}\n", "6:25: nobody could call this; say who may call: basic, apiKey, or none: {} for everybody"),
    (HEADS["API"] + "  mlComponent: {name: m}\n  restfulApi: {path: x, auth: {none: {}, apiKey: {}}}\n", '6:25: "none" lets everybody in, whatever stands beside it; remove it, or the others'),
    (HEADS["API"] + AUTH, "4:1: name one of mlComponent, experimentPipeline, files or pipelines"),
    (HEADS["API"] + AUTH + "  files:\n", "4:1: name one of mlComponent, experimentPipeline, files or pipelines"),
    (HEADS["API"] + AUTH + "  files: {}\n  pipelines: {}\n", "4:1: only one of mlComponent, experimentPipeline, files or pipelines is possible; remove files or pipelines"),
    (HEADS["API"] + AUTH + "  files: {}\n", '5:22: "path" is not used here: files and pipelines have routes of their own; it may be removed (warning)'),
    (HEADS["API"] + "  mlComponent: {name: m}\n  restfulApi: {auth: {none: {}}}\n", '6:3: missing field "path" in "restfulApi"; it becomes a part of the URL'),
    (HEADS["API"] + "  mlComponent: {name: m}\n  restfulApi: {path: a/b, auth: {none: {}}}\n", '6:22: "path" must be one URL segment of lower-case letters, digits and -, not "a/b"'),
    (HEADS["API"] + "  mlComponent: {name: m}\n  restfulApi: {path: runs, auth: {none: {}}}\n", '6:22: path "runs" is reserved (files, runs, v2, predict, docs, openapi.json); choose another'),
    (HEADS["API"] + "  mlComponent: {name: m}\n  restfulApi: {path: openapi.json, auth: {none: {}}}\n", '6:22: path "openapi.json" is reserved (files, runs, v2, predict, docs, openapi.json); choose another'),
    (HEADS["API"] + FREE + " cors: {}}\n", '6:43: missing field "origins" in "cors"'),
    (HEADS["API"] + FREE + " cors: {origins: []}}\n", '6:50: "origins" needs at least 1 item'),
    (HEADS["API"] + FREE + " cors: {origins: [https://lab.example/app]}}\n", f'6:60: "origins[0]" {ORIGIN}, not "https://lab.example/app"'),
    (HEADS["API"] + FREE + " cors: {origins: [https://a, https://Lab.example]}}\n", f'6:71: "origins[1]" {ORIGIN}, not "https://Lab.example"'),
    (HEADS["API"] + FREE + ' cors: {origins: ["null"]}}\n', f'6:60: "origins[0]" {ORIGIN}, not "null"'),
    (HEADS["API"] + FREE + ' cors: {origins: ["https://*.example"]}}\n', f'6:60: "origins[0]" {ORIGIN}, not "https://*.example"'),
    (HEADS["API"] + FREE + ' cors: {origins: [lab.example]}}\n', f'6:60: "origins[0]" {ORIGIN}, not "lab.example"'),
    (HEADS["API"] + FREE + ' cors: {origins: ["https://h:443"]}}\n', '6:60: "origins[0]" must be without :443, which no browser sends, not "https://h:443"'),
    (HEADS["API"] + FREE + ' cors: {origins: ["http://h:99999"]}}\n', '6:60: "origins[0]" must be an origin with a host and a port that exist, not "http://h:99999"'),
    (HEADS["API"] + FREE + ' cors: {origins: [https://a, "*"]}}\n', '6:43: "*" stands for all origins; remove it, or the others'),
    (HEADS["API"] + "  experimentPipeline: {name: p}\n" + AUTH, '5:3: "experimentPipeline" needs "apiSpec", the inputs and outputs that a caller names'),
    (HEADS["API"] + "  mlComponent: {name: m}\n" + AUTH + "  apiSpec: {}\n", '7:3: "apiSpec" belongs to "experimentPipeline"; remove it'),
    (HEADS["API"] + "  experimentPipeline: {name: p}\n" + AUTH + "  apiSpec:\n    inputs: [{name: a, type: {datatypes: [FP16]}}]\n", '8:43: "datatypes[0]" must be FILE, FOLDER, str, dict, FP32, FP64, INT32, INT64 or BOOL, not "FP16"'),
    (HEADS["API"] + "  experimentPipeline: {name: p}\n" + AUTH + "  apiSpec:\n    inputs: [{name: a, type: {datatypes: [int]}}]\n", '8:43: "datatypes[0]" must be FILE, FOLDER, str, dict, FP32, FP64, INT32, INT64 or BOOL, not "int"; write INT64'),
    (HEADS["API"] + "  experimentPipeline: {name: p}\n" + AUTH + "  apiSpec:\n    inputs: [{name: a, type: {datatypes: []}}]\n", '8:31: "datatypes" needs at least 1 item'),
    (HEADS["API"] + "  experimentPipeline: {name: p}\n" + AUTH + "  apiSpec:\n    outputs: [{name: a}, {name: a}]\n", '8:33: "a" is in this list twice; remove one'),
    (HEADS["API"] + "  published: yes\n  mlComponent: {name: m}\n" + AUTH, '5:14: "published" must be true or false, not "yes"'),
]  # fmt: skip

ATTACHING = [
    (HEADS["BOX"] + "  {}\n", '4:1: missing field "s3DefaultStorage" in "spec"; write s3DefaultStorage: {}'),
    (HEADS["BOX"] + "  s3DefaultStorage:\n", '5:3: "s3DefaultStorage" has no value; write s3DefaultStorage: {}'),
    (HEADS["BOX"] + "  s3DefaultStorage: {capacity: 1GB}\n", '5:32: "capacity" must be a size such as 512Mi, 1G or a number of bytes, not "1GB"'),
    (HEADS["BOX"] + "  s3DefaultStorage: {capacity: 0}\n", '5:32: "capacity" must be at least 1 byte, not 0'),
    (HEADS["SEC"] + "data: {a: aHVudGVy}\nspec: {}\n", "4:1: values of a Secret do not belong in a file; remove them here and set them with: mlmesh secret set"),
    (HEADS["SEC"] + "spec:\n  stringData: {a: hunter}\n", "5:3: values of a Secret do not belong in a file; remove them here and set them with: mlmesh secret set"),
    (HEADS["SEC"] + "stringData:\n", '1:1: missing field "spec"', "4:1: values of a Secret do not belong in a file; remove them here and set them with: mlmesh secret set"),
    (HEADS["SEC"] + "spec: {keys: [a, b, a]}\n", '4:21: "a" is in this list twice; remove one'),
    (HEADS["SEC"] + "spec: {keys: [a b]}\n", '4:15: "keys[0]" must be letters, digits and . _ @ -, not "a b"'),
    (HEADS["MAP"] + "data: {A: 1}\n", '4:11: "A" must be text, not 1; put it in quotes'),
    (HEADS["MAP"] + "data: {A: true}\n", '4:11: "A" must be text, not true; put it in quotes'),
    (HEADS["MAP"] + "data: [A]\n", '4:1: "data" must be a mapping of fields, not a list'),
    (HEADS["MAP"] + "data: {a b: x}\n", '4:13: key "a b" must be at most 253 letters, digits and . _ -; rename it'),
    (HEADS["MAP"] + f"data: {{A: {'x' * 40_000}, B: {'x' * 40_000}}}\n", "4:1: more than 64 KB of values; keep files in the repository"),
    (HEADS["MAP"] + "spec: {data: {A: x}}\n", '4:1: a ConfigMap has no "spec"; its values stand in "data", beside "metadata"'),
    (HEADS["MAP"] + "binaryData: {A: eA==}\n", '4:1: "binaryData" cannot be environment variables; keep files in the repository or in a DataBox'),
    (HEADS["MAP"] + "immutable: true\n", '4:1: unknown field "immutable"; the fields here are apiVersion, kind, metadata, data'),
    (HEADS["MAP"].replace("mlmesh/", "") + "immutable: true\ndata: {A: x}\n", '4:1: unknown field "immutable"; the fields here are apiVersion, kind, metadata, data (left out) (warning)'),
    (HEADS["SEC"].replace("mlmesh/", "") + "data: {A: eA==}\n", '1:1: missing field "spec"', '1:13: "apiVersion" must be mlmesh/v1 or unified-platform.cs.hse.ru/v1, not "v1"', "4:1: values of a Secret do not belong in a file; remove them here and set them with: mlmesh secret set"),
    (HEADS["REPO"] + "  url: ''\n", '5:8: "url" must be an https://, ssh:// or file:// address, or user@host:path, not ""'),
    (HEADS["REPO"] + "  url: ext::sh -c id\n", '5:8: "url" must be an https://, ssh:// or file:// address, or user@host:path, not "ext::sh -c id"'),
    (HEADS["REPO"] + "  url: https://u:p@git.example/a.git\n", '5:8: "url" must not contain a password; name a Secret in "credentials"'),
    (HEADS["REPO"] + "  url: https://git.example/a.git\n  branch: --upload-pack=x\n", '6:11: "branch" must be the name of a branch, not "--upload-pack=x"'),
    (HEADS["REPO"] + "  branch: main\n  tags: v*\n", '6:9: "branch" and "tags" exclude each other; remove one of them'),
    (HEADS["REPO"] + "  tags: 'v[0-9]'\n", '5:9: "tags" must be a pattern of tags, such as v*, not "v[0-9]"'),
    (HEADS["REPO"] + "  forge: sourcehut\n", '5:10: "forge" must be github, gitea, forgejo, gogs, gitbucket, gitlab, bitbucket, bitbucket-dc, azure or none, not "sourcehut"'),
    (HEADS["REPO"] + "  status: on\n", '5:11: "status" must be a mapping of fields, not "on"'),
    (HEADS["REPO"] + "  status: {token: x}\n", '5:12: unknown field "token"; the fields here are credentials, enabled'),
    (HEADS["REPO"] + "  url: https://git.example/a.git\n  path: ../up\n", '6:9: "path" must be a folder in the repository such as manifests, or . for its root, without "..", not "../up"'),
    (HEADS["REPO"] + "  url: 'ext::sh -c id ://x'\n", '5:8: "url" must be an https://, ssh:// or file:// address, or user@host:path, not "ext::sh -c id ://x"'),
    (HEADS["REPO"] + '  url: "file:///a\\nb.git"\n', '5:8: "url" must be an https://, ssh:// or file:// address, or user@host:path, not "file:///a\\nb.git"'),
    (HEADS["REPO"] + "  url: https://git.example/a.git\n  pollInterval: 1ms\n", '6:17: "pollInterval" must be at least 1s, not "1ms"'),
    (HEADS["APP"] + "  moduleKind: base\n", '4:1: missing field "title" in "spec"'),
    (HEADS["APP"] + "  title: ''\n", '5:10: "title" must not be empty'),
    (HEADS["APP"] + "  title: t\n  moduleKind: ml\n", '6:15: "moduleKind" must be base, mlops or data, not "ml"'),
    (HEADS["APP"] + "  title: t\n  owners: [a b]\n", '6:12: "owners[0]" must be at most 64 letters, digits and . _ @ -, not "a b"'),
    (HEADS["APP"].replace("name: x", "name: api") + "  title: t\n", '3:18: "api" is reserved (api, hooks, console, git, links, healthz, readyz, metrics, docs); choose another name'),
    (HEADS["APP"].replace("name: x", "name: x, namespace: git") + "  title: t\n", '3:32: "git" is reserved (api, hooks, console, git, links, healthz, readyz, metrics, docs); choose another name'),
]  # fmt: skip


@pytest.mark.parametrize("case", HEADERS + COMPONENTS + BUILDS + NOT_YET + PIPELINES + APIS + ATTACHING)
def test_a_problem_is_one_sentence_at_its_place(case: tuple[str, ...]) -> None:
    text, *expected = case
    assert problems(text) == [f"m.yml:{line}" for line in expected]


def test_a_pipeline_of_too_many_stages_is_refused_in_a_sentence() -> None:
    line = "    - {{name: s{0}, image: {{existingImageName: i}}, inputs: [{{name: a}}]}}\n"
    text = STAGES + "".join(line.format(number) for number in range(1001))
    assert problems(text) == ['m.yml:6:3: "stages" has 1001, at most 1000 are possible; split the pipeline']


@pytest.mark.parametrize("text", BUILT)
def test_what_is_built_is_accepted(text: str) -> None:
    manifests, found = read_documents({"m.yml": text.encode()})
    assert (len(manifests), found) == (1, [])


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("file:///home/me/my repo.git", "file:///home/me/my%20repo.git"),
        ("file:///home/me/my%20repo.git", "file:///home/me/my%20repo.git"),
        ("https://git.example/my repo.git ", "https://git.example/my%20repo.git"),
        ("git@git.example:team/my repo.git", "git@git.example:team/my repo.git"),
        ("https://git.example/a.git", "https://git.example/a.git"),
    ],
)
def test_a_space_in_an_address_is_taken_as_git_takes_it(written: str, url: str) -> None:
    assert normalize_url(written) == url


PATHS = [
    ("manifests", "manifests"), ("./manifests", "manifests"), ("manifests/", "manifests"), ("a//b/./c", "a/b/c"),
    (".", "."), ("./", "."), ("..a", "..a"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "path"), PATHS)
def test_a_folder_is_named_as_git_names_it(written: str, path: str) -> None:
    assert normalize_folder(written) == path


@pytest.mark.parametrize("written", ["", "/", "/manifests", "..", "a/..", "./../a", "a\tb", "x" * 1025])
def test_what_is_no_folder_of_the_repository_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"^must be a folder in the repository such as manifests"):
        normalize_folder(written)


def test_under_the_foreign_version_unknown_fields_are_warnings_and_dropped() -> None:
    text = (ML + "  replicas: 3\n  resources: {limits: {cpu: 1}, cpu: 1}\nstatus: {}\n").replace(
        "mlmesh/v1", "unified-platform.cs.hse.ru/v1"
    )
    manifests, found = read_documents({"m.yml": text.encode()})
    assert [(str(problem), problem.severity) for problem in found] == [
        ('m.yml:7:3: unknown field "replicas"; the fields here are image, servicePort, env, envFrom, connectedBoxes, mlService, resources, scaling, startTimeout, security (left out)', "warning"),
        ('m.yml:8:15: unknown field "limits"; the fields here are cpu, memory, gpu, shm (left out)', "warning"),
        ('m.yml:9:1: unknown field "status"; the fields here are apiVersion, kind, metadata, spec (left out)', "warning"),
    ]  # fmt: skip
    assert manifests[0].body.model_dump(by_alias=True, exclude_unset=True)["spec"]["resources"] == {"cpu": 1.0}


def test_under_the_foreign_version_what_is_left_after_unknown_fields_is_still_checked() -> None:
    text = (HEADS["API"] + "  mlComponent: {name: m}\n  restfulApi: {path: x, auth: {ldap: {}}}\n").replace(
        "mlmesh/v1", "unified-platform.cs.hse.ru/v1"
    )
    assert problems(text) == [
        "m.yml:6:25: nobody could call this; say who may call: basic, apiKey, or none: {} for everybody",
        'm.yml:6:32: unknown field "ldap"; the fields here are basic, apiKey, oidc, none, identityPassThrough (left out) (warning)',
    ]  # fmt: skip


def test_under_the_foreign_version_other_errors_are_errors_all_the_same() -> None:
    text = (ML + "  replicas: 3\n  servicePort: x\n").replace("mlmesh/v1", "unified-platform.cs.hse.ru/v1")
    assert [found.severity for found in read_documents({"m.yml": text.encode()})[1]] == ["warning", "error"]
    values = HEADS["SEC"].replace("mlmesh/v1", "unified-platform.cs.hse.ru/v1") + "data: {a: b}\nspec: {}\n"
    assert [found.severity for found in read_documents({"m.yml": values.encode()})[1]] == ["error"]


def test_manifests_come_by_path_and_line_and_know_their_places() -> None:
    box = (HEADS["BOX"] + "  s3DefaultStorage: {capacity: 2G}\n").encode()
    manifests, found = read_documents(
        {"b.yml": box, "a/z.yml": b"# empty\n---\n" + box + b"---\n" + HEADS["SEC"].encode() + b"spec: {}\n"}
    )
    assert [(m.file, m.line, m.column, m.kind, m.name) for m in manifests] == [
        ("a/z.yml", 3, 1, "DataBox", "b"),
        ("a/z.yml", 9, 1, "Secret", "s"),
        ("b.yml", 1, 1, "DataBox", "b"),
    ]
    assert found == []
    assert manifests[2].locate("spec", "s3DefaultStorage", "capacity") == (5, 32)
    assert manifests[2].locate("spec", "s3DefaultStorage") == (5, 3)


def test_every_problem_of_every_file_is_reported_at_once() -> None:
    files = {"b.yml": b"a: b: c", "a.yml": (ML + "  servicePort: x\n  typo: 1\n---\nkind: X\n").encode()}
    assert [f"{found.file}:{found.line}" for found in read_documents(files)[1]] == [
        "a.yml:7",
        "a.yml:8",
        "a.yml:10",
        "b.yml:1",
    ]


LIMITS = [
    ({"m.yml": b"a" * 10_000_000}, "m.yml:1:1: larger than 1 MB; a manifest file is text of a few KB, keep data elsewhere"),
    ({f"{n:03}.yml": b"" for n in range(501)}, "500.yml:1:1: more than 500 manifest files; join some of them with --- between"),
    ({f"{n:02}.yml": b"a" * 2**20 for n in range(11)}, "10.yml:1:1: all manifest files together are larger than 10 MB; keep data elsewhere"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "expected"), LIMITS, ids=["one file", "files", "all"])
def test_what_is_too_big_is_not_parsed(files: dict[str, bytes], expected: str) -> None:
    manifests, found = read_documents(files)
    assert (manifests, [str(problem) for problem in found]) == ([], [expected])
