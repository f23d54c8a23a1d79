// The start form: sends itself, shows why it was refused, and opens Locust's page when the test has started.
const form = document.getElementById("start");
const alertBox = document.getElementById("alert");
const button = form.querySelector("button");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  alertBox.textContent = "";
  try {
    const answer = await fetch("./swarm", { method: "POST", body: new FormData(form) });
    const { success, message } = await answer.json();
    if (success) return; // look() leaves this page when the state changes
    alertBox.textContent = message;
    alertBox.scrollIntoView({ block: "nearest" });
  } catch (error) {
    alertBox.textContent = `Locust does not answer (${error.message}). Is it still running?`;
  }
  button.disabled = false;
});

async function look() {
  try {
    const { tests, state } = await (await fetch("./tidemark/events")).json();
    if (tests > Number(form.dataset.tests) && state !== "ready") location.replace("./");
  } catch {
    // Start shows an error if Locust is gone.
  }
}
setInterval(look, 400);
