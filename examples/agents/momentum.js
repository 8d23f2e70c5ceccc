// A remote agent in JavaScript, no packages: long while the price is above its mean of 48 bars.
//
//     seawall run demo --agent 'stdio{command=["node","examples/agents/momentum.js"]}'

const lines = require("node:readline").createInterface({ input: process.stdin });

function decide(observation) {
  const [candles] = Object.values(observation.candles);
  const closes = candles.close;
  const mean = closes.reduce((sum, close) => sum + close, 0) / closes.length;
  return closes[closes.length - 1] > mean ? 1.0 : 0.0;
}

lines.on("line", (line) => {
  const message = JSON.parse(line);
  if (message.type === "end") return lines.close();
  const answer =
    message.type === "hello"
      ? { type: "ready", protocol: 1, name: "momentum", bars: 48 }
      : { type: "decision", sequence: message.sequence, target: decide(message.observation) };
  process.stdout.write(JSON.stringify(answer) + "\n");
});
