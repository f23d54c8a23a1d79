// The demonstration shop: what a site does with the tracker. The list beside it is panel.js.
(() => {
  "use strict";
  const PRODUCTS = {
    lamp: { name: "Harbour lamp", price: 89, words: "Brass and linen. It makes a small warm circle, and no more." },
    kettle: { name: "Galley kettle", price: 54, words: "Enamelled steel with a wide base: it does not tip when the floor does." },
    chair: { name: "Deck chair", price: 129, words: "Ash and canvas. Folds flat, and forgets nobody's favourite position." },
    clock: { name: "Tide clock", price: 72, words: "One turn in 12 hours and 25 minutes, as the sea has it." },
  };
  const NAMES = Object.keys(PRODUCTS);
  const find = (name) => document.querySelector(`[data-${name}]`);
  const euros = (price) => `€ ${price}`;

  // An API with write keys asks for one; it comes with the first address, and this tab remembers it.
  const given = new URLSearchParams(location.search).get("write_key");
  if (given) sessionStorage.setItem("demo-write-key", given);
  tidemark.init({ interval: 100, key: sessionStorage.getItem("demo-write-key") ?? "" });

  const basket = () => JSON.parse(sessionStorage.getItem("demo-basket") ?? "{}");
  const keep = (content) => {
    sessionStorage.setItem("demo-basket", JSON.stringify(content));
    showCount();
  };
  const showCount = () => {
    const count = Object.values(basket()).reduce((sum, each) => sum + each, 0);
    const place = find("basket-count");
    place.hidden = !count;
    place.textContent = count;
  };

  const showProduct = () => {
    const name = location.pathname.split("/").pop();
    const product = PRODUCTS[name];
    const next = NAMES[(NAMES.indexOf(name) + 1) % NAMES.length];
    find("picture").src = `/demo/${name}.svg`;
    find("name").textContent = product.name;
    find("price").textContent = euros(product.price);
    find("words").textContent = product.words;
    find("added").textContent = "";
    find("next").href = `/demo/${next}`;
    find("next").textContent = `Next: ${PRODUCTS[next].name}`;
    document.title = document.title.replace(/^.*? ·/, `${product.name} ·`);
  };
  const startProduct = () => {
    showProduct();
    addEventListener("popstate", showProduct);
    find("next").addEventListener("click", (click) => {
      click.preventDefault();
      history.pushState(null, "", click.currentTarget.href);
      showProduct();
      find("name").closest("main").focus();
    });
    find("add").addEventListener("click", () => {
      const name = location.pathname.split("/").pop();
      const content = basket();
      content[name] = (content[name] ?? 0) + 1;
      keep(content);
      tidemark.track("add_to_basket", { product: name, price: PRODUCTS[name].price });
      find("added").textContent = `${PRODUCTS[name].name}: ${content[name]} in the basket.`;
    });
  };

  const cell = (text, kind = "") => {
    const made = document.createElement("td");
    made.textContent = text;
    made.className = kind;
    return made;
  };
  const showBasket = () => {
    const lines = Object.entries(basket());
    const total = lines.reduce((sum, [name, count]) => sum + count * PRODUCTS[name].price, 0);
    find("basket-empty").hidden = lines.length > 0;
    find("basket-full").hidden = !lines.length;
    find("basket-total").textContent = euros(total);
    const rows = lines.map(([name, count]) => {
      const row = document.createElement("tr");
      row.append(cell(PRODUCTS[name].name), cell(count, "number"), cell(euros(count * PRODUCTS[name].price), "number"));
      return row;
    });
    find("basket-lines").replaceChildren(...rows);
    return total;
  };
  const startBasket = () => {
    showBasket();
    find("order").addEventListener("click", () => {
      tidemark.track("order", { total: showBasket() });
      keep({});
      showBasket();
      find("basket-empty").hidden = true;
      find("ordered").textContent = "Ordered, as far as one can order here. Thank you.";
    });
  };

  const startSignUp = () =>
    find("sign-up").addEventListener("submit", (submit) => {
      submit.preventDefault();
      const form = new FormData(submit.target);
      const id = `shopper-${crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000}`;
      sessionStorage.setItem("demo-shopper", JSON.stringify({ id, name: form.get("name") }));
      tidemark.identify(id);
      tidemark.track("signup", { plan: form.get("plan") });
      location.assign("/demo/welcome");
    });
  const startWelcome = () => {
    const { id, name } = JSON.parse(sessionStorage.getItem("demo-shopper") ?? "{}");
    if (!id) return;
    find("shopper").textContent = `, ${name}`;
    find("user-id").textContent = id;
    find("find").textContent = `./tidemark find '{"user_id": "${id}"}'`;
    find("sign-out").addEventListener("click", () => {
      tidemark.identify(null);
      sessionStorage.removeItem("demo-shopper");
      location.assign("/demo");
    });
  };

  showCount();
  if (find("picture")) startProduct();
  if (find("basket-lines")) startBasket();
  if (find("sign-up")) startSignUp();
  if (find("shopper")) startWelcome();
})();
