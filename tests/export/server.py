"""What TensorFlow Serving's REST and gRPC predict API are, in few lines, for tests only.

`python -P server.py FOLDER NAME`: loads as TensorFlow Serving does (a session, no XLA, no Keras),
replays the warm-up requests, and prints its two ports.
"""

import base64
import importlib
import importlib.util
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

sys.modules["keras"] = None  # TensorFlow would import it

import tensorflow as tf  # noqa: E402

RUNTIMES = Path(__file__).parents[2] / "keras_resnext/inference/runtimes.py"


class Model:
    """A SavedModel in a session."""

    def __init__(self, folder):
        self.session = tf.compat.v1.Session(graph=tf.Graph())
        with self.session.graph.as_default():
            loaded = tf.compat.v1.saved_model.load(self.session, ["serve"], folder)
        self.signatures = loaded.signature_def

    def signature(self, name):
        if name not in self.signatures:
            raise ValueError(f'Serving signature key "{name}" not found.')
        return self.signatures[name]

    def run(self, name, inputs):
        signature = self.signature(name)
        if set(inputs) != set(signature.inputs):
            raise ValueError(f"expected inputs {set(signature.inputs)}, got {set(inputs)}")
        tensor = self.session.graph.get_tensor_by_name
        # Below Session.run, which holds requests to the declared shape as no server in C++ does.
        feed = {tensor(signature.inputs[key].name).ref(): v for key, v in inputs.items()}
        fetches = [tensor(output.name) for output in signature.outputs.values()]
        found = self.session._do_run(None, [], fetches, feed, None, None)
        return dict(zip(signature.outputs, found, strict=True))


def rest(model, name):
    def plain(item):
        return base64.b64decode(item["b64"], validate=True) if "b64" in item else item

    def answer(body):
        request = json.loads(body, object_hook=plain)
        signature = request.get("signature_name", "serving_default")
        ((key, spec),) = model.signature(signature).inputs.items()
        instances = np.array(request["instances"], tf.DType(spec.dtype).as_numpy_dtype)
        outputs = model.run(signature, {key: instances})
        rows = zip(*(value.tolist() for value in outputs.values()), strict=True)
        return {"predictions": [dict(zip(outputs, row, strict=True)) for row in rows]}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                if self.path != f"/v1/models/{name}:predict":
                    raise ValueError(f"Malformed request: POST {self.path}")
                code, content = 200, answer(body)
            except (ValueError, KeyError, TypeError, tf.errors.OpError) as error:
                code, content = 400, {"error": str(error)}
            self.send_response(code)
            self.end_headers()
            self.wfile.write(json.dumps(content, default=bytes.decode).encode())

        def log_message(self, *_):
            pass

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def grpc_server(model, name):
    import grpc
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):
            try:
                return predict(request)
            except (ValueError, TypeError, tf.errors.OpError) as error:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

    def predict(request):
        if request.model_spec.name != name:
            raise ValueError(f"Servable not found for request: {request.model_spec.name}")
        inputs = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
        outputs = model.run(request.model_spec.signature_name or "serving_default", inputs)
        response = predict_pb2.PredictResponse(model_spec=request.model_spec)
        for key, value in outputs.items():
            response.outputs[key].CopyFrom(tf.make_tensor_proto(value))
        return response

    def replay(path):
        from tensorflow_serving.apis import prediction_log_pb2

        logs = [
            prediction_log_pb2.PredictionLog.FromString(record.numpy())
            for record in tf.data.TFRecordDataset(str(path))
        ]
        for log in logs:
            predict(log.predict_log.request)
        return len(logs)

    server = grpc.server(ThreadPoolExecutor(4))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), server)
    return server, server.add_insecure_port("127.0.0.1:0"), replay


def without_xla():
    """Switch XLA off; what that says to a function that needs it."""
    sys.path.append(str(RUNTIMES.parent))
    importlib.import_module("runtimes").disable_xla()
    try:
        tf.function(tf.zeros, jit_compile=True)(1)
    except tf.errors.OpError as error:
        return str(error)


if __name__ == "__main__":
    folder, name = sys.argv[1:]
    started = {"xla": without_xla(), "process": os.getpid()}
    model = Model(folder)
    http = rest(model, name)
    started["rest"] = http.server_address[1]
    if importlib.util.find_spec("tensorflow_serving"):
        server, started["grpc"], replay = grpc_server(model, name)
        started["replayed"] = replay(Path(folder) / "assets.extra/tf_serving_warmup_requests")
        server.start()
    print(json.dumps(started), flush=True)
    http.serve_forever()
