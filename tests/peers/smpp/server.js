// An SMPP server by other people's hands: puts long messages together again, answers with hexadecimal ids and
// sends receipts with decimal ones. Says {"port": N} when it listens, then one JSON line for each whole message.
// Argument: {"receipts": "early" | "late" | "twice" | "none"}. Ends when its standard input does.
"use strict";
const smpp = require("smpp");

const { receipts } = JSON.parse(process.argv[2] || '{"receipts": "late"}');
const say = (value) => process.stdout.write(JSON.stringify(value) + "\n");
const pending = new Map();
let lastId = 0xabcdef00;

function placeOf(message) {
  const element = (message.udh || []).find((udh) => udh[0] === 0x00);
  return element ? { reference: element[2], total: element[3], part: element[4] } : { total: 1, part: 1 };
}

function note(pdu, id) {
  const place = placeOf(pdu.short_message);
  const key = `${pdu.destination_addr}/${place.reference}`;
  const parts = pending.get(key) || [];
  pending.set(key, parts);
  parts[place.part - 1] = { text: pdu.short_message.message, id };
  if (parts.filter(Boolean).length < place.total) return;
  pending.delete(key);
  say({
    destination: pdu.destination_addr,
    source: pdu.source_addr,
    text: parts.map((part) => part.text).join(""),
    ids: parts.map((part) => part.id),
    validity: pdu.validity_period instanceof Date ? pdu.validity_period.getTime() : null,
  });
}

function receipt(session, pdu, number) {
  session.deliver_sm(
    {
      source_addr_ton: 1,
      source_addr_npi: 1,
      source_addr: pdu.destination_addr,
      destination_addr: pdu.source_addr,
      esm_class: 4,
      short_message:
        `id:${number} sub:001 dlvrd:001 submit date:2611231233 done date:2611231234 ` +
        "stat:DELIVRD err:000 text:",
      message_state: 2,
    },
    (answer) => say({ acknowledged: number, status: answer.command_status }),
  );
}

function submit(session, pdu) {
  const number = ++lastId;
  const id = number.toString(16).toUpperCase();
  if (receipts === "early") receipt(session, pdu, number);
  session.send(pdu.response({ message_id: id }));
  note(pdu, id);
  if (receipts === "late" || receipts === "twice") setTimeout(() => receipt(session, pdu, number), 20);
  if (receipts === "twice") setTimeout(() => receipt(session, pdu, number), 40);
}

const server = smpp.createServer((session) => {
  session.on("bind_transceiver", (pdu) => {
    const right = pdu.system_id === "plp" && pdu.password === "secret";
    session.send(pdu.response({ command_status: right ? 0 : smpp.ESME_RINVPASWD }));
  });
  session.on("submit_sm", (pdu) => submit(session, pdu));
  session.on("enquire_link", (pdu) => session.send(pdu.response()));
  session.on("unbind", (pdu) => {
    say({ unbound: true });
    session.send(pdu.response());
    session.close();
  });
  session.on("error", () => session.close());
});
server.listen(0, "127.0.0.1", () => say({ port: server.address().port }));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
